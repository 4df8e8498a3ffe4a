/// Ports that need not be written.
enum DefaultPorts {
    /// What a URL's scheme means; `nil` where it means none, or not one port.
    static func ofScheme(_ scheme: String) -> UInt16? {
        schemes[scheme.split(separator: "+").first.map(String.init) ?? scheme] ?? nil
    }

    /// Whether programs that read keywords such as `host=` assume this port.
    static func isOfKeywords(_ port: UInt16) -> Bool { [5432, 3306, 6379, 1433, 27017].contains(port) }

    private static let schemes: [String: UInt16] = [
        "http": 80, "ws": 80, "https": 443, "wss": 443, "postgres": 5432, "postgresql": 5432, "mysql": 3306,
        "mysqlx": 33060, "mariadb": 3306, "redis": 6379, "rediss": 6379, "mongodb": 27017, "amqp": 5672, "amqps": 5671,
        "nats": 4222, "memcached": 11211, "ldap": 389, "ldaps": 636, "smtp": 25, "smtps": 465, "mqtt": 1883,
        "mqtts": 8883, "ftp": 21, "sqlserver": 1433, "clickhouse": 9000, "cassandra": 9042, "bolt": 7687, "neo4j": 7687,
    ]
}
