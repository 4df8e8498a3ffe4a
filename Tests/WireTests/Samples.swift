import Wire

/// One message of every type, with every kind of field filled in, and a few that differ in what is optional.
let samples: [Message] = [
    .hello(Hello(generation: .max, heartbeatSeconds: 20, capabilities: .files, version: 7)),
    .welcome(
        Welcome(
            capabilities: [.files, .exec], architecture: [1, 2], uid: 1000, gid: 1001, pid: 7,
            digest: [UInt8](repeating: 9, count: 32), path: Array("/tmp/loopd".utf8))),
    .ping(1), .pong(.max), .removeSelf, .bye, .window(65536),
    .failure(Failure(.stage, code: 28, path: [0xFF, 10], uid: 1000, mode: 0o755, text: Array("full".utf8))),
    .failure(Failure(.digest, code: -1, path: [], uid: 0, text: [], isFinal: false)),
    .open(Open(path: Array("/srv".utf8), root: Array("/proc/7/root".utf8), generation: 3, createIfMissing: false)),
    .opened(
        Opened(
            destination: 1, kind: .file, staging: [47], isSameMount: true, owner: 5, obstacle: 30, mode: 0o700, uid: 6)),
    .close(9), .closed,
    .list(List(destination: 1, paths: [[97], []], isRecursive: false, skip: [[98, 99]])),
    .list(List(destination: 1)),
    .entries([]),
    .entries([
        Entry(path: [97], kind: .absent),
        Entry(
            path: [98, 0xC3], kind: .link, mode: 0o777,
            stamp: FileStamp(size: .max, modified: .min, changed: -1, inode: 8), target: [99]),
    ]),
    .listed(500_000),
    .digestRequest(DigestRequest(destination: 2, paths: [[1], [2, 3]])),
    .digest(Digest(path: [1], sha256: [UInt8](repeating: 1, count: 32), stamp: FileStamp(size: 1))), .digested,
    .stage(Stage(destination: 1, stage: 2, sizeHint: 3, path: [4])),
    .stage(Stage(destination: 1, stage: 2, sizeHint: 3, path: [], hasBase: true)),
    .copy(Copy(offset: .max, length: 7)), .blockRequest(BlockRequest(destination: 1, path: [97])), .blocks([]),
    .blocks([Block(length: 4096, hash: .max), Block(length: 1, hash: 2)]), .blocked(1 << 40),
    .data([UInt8](repeating: 5, count: 1000)), .data([]), .stageEnd(.max),
    .staged(Staged(stage: 1, sha256: [1, 2], size: 3)),
    .abandon(Abandon(destination: 1, stage: 2)),
    .commit(
        Commit(
            destination: 1, generation: 2,
            operations: [
                .place(stage: 1, path: [97], mode: 0o644, modified: -5), .makeFolder(path: [98], mode: 0o755),
                .link(path: [99], target: [100]), .touch(path: [101], mode: 0, modified: .max),
                .remove(path: [102], recursive: true), .remove(path: [], recursive: false),
            ], isLast: false)),
    .committed(
        Committed(
            results: [
                OperationResult(),
                OperationResult(
                    code: 16, flags: [.writtenInPlace, .ownerChanged], mode: 0o600, stamp: FileStamp(inode: 1),
                    text: [1]),
            ], isLast: true)),
    .exec(Exec(arguments: [[97], []], directory: [47], environment: [[65, 61]])),
    .output(ProgramOutput(channel: .standardError, bytes: [1, 2, 3])),
    .exited(.code(-1)), .exited(.signal(9)), .signal(15),
    .locate(Locate(destination: 1, stage: .max)), .located(Array("/srv/.loopd-1/a".utf8)),
    .service(.state), .service(.follow(heartbeatSeconds: 1)), .service(.unfollow),
    .service(.restart(graceMilliseconds: 10_000)),
    .service(.signal(-1)), .service(.hold(graceMilliseconds: .max)), .service(.release),
    .serviceState(.starting), .serviceState(.running(pid: 7, starts: .max)), .serviceState(.stopping),
    .serviceState(.ended(.code(127), starts: 3)), .serviceState(.ended(.signal(9), starts: 1)), .serviceState(.held),
    .failure(Failure(.service, code: 2, path: [], uid: 0, text: [])),
    .failure(Failure(.locate, code: 2, path: [], uid: 0, text: [])),
    .connect(Connect(target: SocketAddress(address: Array("fd00::4".utf8), port: .max), timeoutMilliseconds: .max)),
    .connected(SocketAddress(address: [], port: 1)),
    .listen(Listen(port: 8080)), .listen(Listen(port: 0, scope: .loopback)), .listening(443),
    .accepted(Accepted(listener: 7, peer: SocketAddress(address: Array("10.0.0.1".utf8), port: 4))),
    .finish, .reset(-1), .failure(Failure(.network, code: 111, path: [], uid: 0, text: [])),
]
