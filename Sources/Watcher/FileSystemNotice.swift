/// One line about a file system under `root` whose changes the kernel does not report; nil when they all arrive.
public func fileSystemNotice(_ root: String) -> String? { nil }
