// LoopServer
