internal import Glibc

/// A thread for calls that block, with every signal left to the other threads, and the descriptor that ends it.
enum WatchThread {
    /// Starts a thread and gives it one end of a socket pair; returns the other end.
    ///
    /// The first end hangs up when the other is closed.
    static func start(_ body: @escaping @Sendable (consuming OwnedDescriptor) -> Void) throws(WatchError)
        -> OwnedDescriptor
    {
        var ends: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw .system(attempt: "socketpair", code: errno) }
        let near = OwnedDescriptor(ends[0])
        let far = ends[1]
        let launch = Unmanaged.passRetained(Launch { body(OwnedDescriptor(far)) })

        // The new thread inherits the mask: a signal's handler must not interrupt its calls.
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Launch>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, launch.toOpaque())
        pthread_sigmask(SIG_SETMASK, &before, nil)
        guard code == 0 else {
            launch.release()
            close(far)
            throw .system(attempt: "pthread_create", code: code)
        }
        pthread_detach(thread)
        return near
    }

    private final class Launch: Sendable {
        let body: @Sendable () -> Void

        init(_ body: @escaping @Sendable () -> Void) {
            self.body = body
        }
    }
}
