internal import CLinux

extension Stream {
    /// The user whose process has the other end of a TCP connection over loopback; `nil` where no process has it any more,
    /// or the kernel does not tell.
    ///
    /// The kernel's socket diagnosis finds the one socket: however many there are, it takes some microseconds.
    public var localPeerOwner: UInt32? {
        var owner: UInt32 = 0
        let result = try? withDescriptor { clinux_peer_owner($0, &owner) }
        return result == 0 ? owner : nil
    }
}
