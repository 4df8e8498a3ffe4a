internal import Glibc
internal import Reactor

/// One line, or part of one, of a container's log file.
struct LogRecord: Equatable {
    let time: Substring
    let source: Substring
    let isComplete: Bool
    let text: ArraySlice<UInt8>

    /// Parses `<time> <stream> <F|P> <text>`; `nil` for anything else.
    init?(_ line: ArraySlice<UInt8>) {
        let space = UInt8(ascii: " ")
        guard let first = line.firstIndex(of: space), let second = line[(first + 1)...].firstIndex(of: space),
            second + 2 <= line.endIndex
        else { return nil }
        time = Substring(String(decoding: line[..<first], as: UTF8.self))
        source = Substring(String(decoding: line[(first + 1)..<second], as: UTF8.self))
        isComplete = line[second + 1] == UInt8(ascii: "F")
        text = second + 3 <= line.endIndex ? line[(second + 3)...] : []
    }
}

/// Reads log files from their end.
enum LogReader {
    /// The offset at which the last `count` lines begin.
    static func offset(ofLast count: Int, in descriptor: Int32) -> Int {
        let size = Int(lseek(descriptor, 0, SEEK_END))
        guard count > 0 else { return size }
        var end = size
        var found = 0
        while end > 0 {
            let start = max(0, end - 65536)
            let block = bytes(of: descriptor, from: start, count: end - start)
            for index in block.indices.reversed() where block[index] == 0x0A {
                // The newline that ends the last line is not the start of one.
                if start + index == size - 1 { continue }
                found += 1
                if found == count { return start + index + 1 }
            }
            end = start
        }
        return 0
    }

    static func bytes(of descriptor: Int32, from offset: Int, count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, got in
            got = max(0, pread(descriptor, buffer.baseAddress, count, offset))
        }
    }

    /// The text of the last lines, without times.
    static func tail(of path: String, lines count: Int, limit: Int) -> String {
        let raw = open(path, O_RDONLY | O_CLOEXEC)
        guard raw >= 0 else { return "" }
        let owned = OwnedDescriptor(raw)
        let size = Int(lseek(owned.raw, 0, SEEK_END))
        let start = max(offset(ofLast: count, in: owned.raw), size - 65536)
        var text: [UInt8] = []
        for line in bytes(of: owned.raw, from: start, count: size - start).split(separator: 0x0A) {
            guard let record = LogRecord(line) else { continue }
            text += record.text
            if record.isComplete { text.append(0x0A) }
        }
        return String(decoding: text.suffix(limit), as: UTF8.self)
    }
}
