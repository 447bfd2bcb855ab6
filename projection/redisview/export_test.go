package redisview

// WireOptions is for tests of what a session does with a client's options.
var WireOptions = wireOptions
