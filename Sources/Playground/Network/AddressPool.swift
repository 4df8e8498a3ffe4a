/// The addresses of pods: who has which.
///
/// The next free one is given out, and one that was given back comes last: what still talks to a pod that is gone must not
/// meet another one.
struct AddressPool: Sendable {
    let network: IPv4Network
    private var owners: [IPv4: String] = [:]
    private var last: UInt32

    /// All but the first address of a network, which is the gateway's.
    init(_ network: IPv4Network) {
        self.network = network
        last = network.hosts.lowerBound
    }

    /// An address for `owner`; `nil` where none is left.
    mutating func take(for owner: String) -> IPv4? {
        let hosts = network.hosts
        for _ in hosts.dropFirst() {
            last = last == hosts.upperBound ? hosts.lowerBound + 1 : last + 1
            let address = IPv4(value: last)
            if owners[address] == nil {
                owners[address] = owner
                return address
            }
        }
        return nil
    }

    /// Gives `owner` the address that it had before; fails where another one has it, or where it is none of the network.
    mutating func take(_ address: IPv4, for owner: String) -> Bool {
        guard network.hosts.dropFirst().contains(address.value), owners[address] ?? owner == owner else { return false }
        owners[address] = owner
        return true
    }

    mutating func giveBack(_ owner: String) {
        owners = owners.filter { $0.value != owner }
    }
}
