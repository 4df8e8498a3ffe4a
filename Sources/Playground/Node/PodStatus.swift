enum PodStatus { static let address = "127.0.0.1" }
