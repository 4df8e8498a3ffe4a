import Testing

@testable import LoopServer

@Suite("Which proxy of this machine's leads to a name") struct OutsideProxiesTests {
    private func way(_ variables: [String: String], _ host: String, _ port: UInt16, isRequest: Bool = false) -> String {
        OutsideProxies(variables).ways(to: host, port: port, isRequest: isRequest).map { proxy in
            proxy.map { "\($0)".replacing("this machine's proxy ", with: "") } ?? "direct"
        }.joined(separator: ", ")
    }

    @Test("the port tells which variable counts, and of a request that it is one")
    func ports() {
        let all = [
            "HTTP_PROXY": "http://web:1", "HTTPS_PROXY": "http://tls:2", "ALL_PROXY": "socks5h://all:3",
        ]
        #expect(way(all, "example.com", 80) == "web:1 (HTTP_PROXY)")
        #expect(way(all, "example.com", 443) == "tls:2 (HTTPS_PROXY)")
        #expect(way(all, "example.com", 5432) == "tls:2 (HTTPS_PROXY), all:3 (ALL_PROXY)")
        #expect(way(all, "example.com", 8080, isRequest: true) == "web:1 (HTTP_PROXY)")
        #expect(way(all.filter { $0.key == "HTTPS_PROXY" }, "example.com", 5432) == "tls:2 (HTTPS_PROXY), direct")
        #expect(way(all.filter { $0.key == "HTTPS_PROXY" }, "example.com", 443) == "tls:2 (HTTPS_PROXY)")
        #expect(way(all.filter { $0.key == "HTTPS_PROXY" }, "example.com", 80) == "direct")
        for port: UInt16 in [80, 443, 5432] {
            #expect(way(all.filter { $0.key == "ALL_PROXY" }, "example.com", port) == "all:3 (ALL_PROXY)")
            #expect(way([:], "example.com", port) == "direct")
            for name in ["localhost", "a.localhost", "127.0.0.9", "::1", "0.0.0.0"] {
                #expect(way(all, name, port) == "direct", "\(name)")
            }
        }
        #expect(way(["http_proxy": "http://small:1", "HTTP_PROXY": "http://big:1"], "a", 80) == "small:1 (http_proxy)")
        let same = ["HTTPS_PROXY": "http://one:1", "ALL_PROXY": "http://one:1"]
        #expect(way(same, "example.com", 5432) == "one:1 (HTTPS_PROXY)")
        #expect(way(["http_proxy": "", "HTTP_PROXY": "http://big:1"], "a", 80) == "big:1 (HTTP_PROXY)")
    }

    @Test(
        "what NO_PROXY excepts, as curl and Go read it",
        arguments: [
            ("*", "example.com:443", true),
            ("example.com", "example.com:443", true),
            ("example.com", "Example.COM.:443", true),
            ("example.com", "a.b.example.com:443", true),
            ("example.com", "anexample.com:443", false),
            ("example.com", "example.com.org:443", false),
            (".example.com", "a.example.com:443", true),
            (".example.com", "example.com:443", true),
            ("*.example.com", "a.example.com:443", true),
            ("Example.Com.", "example.com:443", true),
            ("example.com:8443", "example.com:443", false),
            ("example.com:8443", "a.example.com:8443", true),
            ("a.org, example.com", "example.com:443", true),
            ("a.org example.com", "example.com:443", true),
            ("a.org,,", "example.com:443", false),
            (".", "example.com:443", false),
            ("10.1.2.3", "10.1.2.3:443", true),
            ("10.1.2.3", "10.1.2.30:443", false),
            ("10.1.2.3:80", "10.1.2.3:443", false),
            ("10.1.2.3:443", "10.1.2.3:443", true),
            ("10.1.0.0/16", "10.1.200.3:443", true),
            ("10.1.0.0/16", "10.2.0.3:443", false),
            ("10.1.0.0/16", "example.com:443", false),
            ("fd00::5", "[fd00:0::5]:443", true),
            ("[fd00::5]:443", "[fd00::5]:443", true),
            ("[fd00::5]:80", "[fd00::5]:443", false),
            ("fd00::/8", "[fd12::1]:443", true),
            ("fd00::/8", "10.0.0.1:443", false),
            ("0.0.0.0/0", "10.0.0.1:443", true),
            ("0.0.0.0/0", "[fd00::5]:443", false),
            ("10.0.0.0/33", "10.0.0.1:443", false),
        ])
    func exceptions(list: String, target: String, isDirect: Bool) throws {
        let (host, port) = try ProxyRequest.place(target, defaultPort: nil)
        for name in ["NO_PROXY", "no_proxy"] {
            let found = way(
                ["HTTPS_PROXY": "http://proxy:3128", "ALL_PROXY": "http://proxy:1", name: list], host, port)
            #expect(found.hasPrefix("direct") == isDirect, "\(found)")
        }
    }

    @Test(
        "a proxy is a URL or a place, and its user is in no text",
        arguments: [
            ("http://proxy:3128", "proxy:3128", ""), ("proxy:3128", "proxy:3128", ""),
            ("HTTP://proxy:3128/", "proxy:3128", ""), ("http://proxy", "proxy:80", ""),
            ("socks5://proxy", "proxy:1080", ""), ("http://[fd00::1]:3128", "[fd00::1]:3128", ""),
            ("http://me:secret@proxy:3128", "proxy:3128", "bWU6c2VjcmV0"),
            ("http://me@proxy:3128", "proxy:3128", "bWU6"), ("me:secret@proxy:3128", "proxy:3128", "bWU6c2VjcmV0"),
            // me:s@c:ret
            ("http://me:s%40c:ret@proxy:3128", "proxy:3128", "bWU6c0BjOnJldA=="),
        ])
    func values(text: String, place: String, login: String) throws {
        let proxy = try #require(OutsideProxy(text, variable: "HTTP_PROXY"))
        #expect("\(proxy)" == "this machine's proxy \(place) (HTTP_PROXY)")
        #expect(proxy.authorization == (login.isEmpty ? "" : "Proxy-Authorization: Basic \(login)\r\n"))
        #expect(OutsideProxies(["HTTP_PROXY": text]).problem == nil)
    }

    @Test(
        "a value that is no such proxy is told without its password, and nothing goes by it",
        arguments: [
            "https://me:secret@proxy:3128", "socks4://proxy:1", "http://", "http://proxy:port", "http://:80",
            "http://me:12/34@proxy:3128",
        ])
    func unreadable(text: String) {
        let both = ["HTTP_PROXY": text, "https_proxy": text]
        #expect(
            OutsideProxies(both).problem
                == "HTTP_PROXY, https_proxy: only http://HOST:PORT and socks5://HOST:PORT can be used: "
                + "names outside the cluster are reached without that proxy")
        #expect(way(both, "example.com", 443) == "direct")
        #expect(way(both, "example.com", 80) == "direct")
    }
}
