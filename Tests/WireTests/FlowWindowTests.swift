import Testing
import Wire

@Suite("Windows")
struct FlowWindowTests {
    @Test("a sender stops at zero and goes on with what is granted")
    func sender() throws {
        var sender = FlowWindow.Sender(10)
        #expect(sender.take(7) == 7)
        #expect(sender.take(7) == 3)
        #expect(sender.take(7) == 0)
        try sender.grant(5)
        #expect(sender.credit == 5)
        sender.giveBack(2)
        #expect(sender.take(100) == 7)
        #expect(sender.take(-1) == 0)
    }

    @Test("credit beyond what can be counted is an error")
    func tooMuchCredit() throws {
        var sender = FlowWindow.Sender(0)
        try sender.grant(UInt32(Int32.max))
        #expect(throws: WireError.windowExceeded) { try sender.grant(1) }
    }

    @Test("a receiver grants by the half window, and refuses what it did not grant")
    func receiver() throws {
        var receiver = FlowWindow.Receiver(100)
        try receiver.receive(100)
        #expect(throws: WireError.windowExceeded) { try receiver.receive(1) }
        #expect(receiver.consume(49) == nil)
        #expect(receiver.consume(1) == 50)
        try receiver.receive(50)
        #expect(throws: WireError.windowExceeded) { try receiver.receive(1) }
    }

    @Test("the two ends agree over any sequence of sizes")
    func agreement() throws {
        var sender = FlowWindow.Sender()
        var receiver = FlowWindow.Receiver()
        var sent = 0
        for size in (1...2000).map({ $0 * 37 % 70_001 }) {
            let count = sender.take(size)
            try receiver.receive(count)
            sent += count
            if let grant = receiver.consume(count) { try sender.grant(grant) }
            #expect(sender.credit >= 0)
        }
        #expect(sent > 20 << 20)
    }
}
