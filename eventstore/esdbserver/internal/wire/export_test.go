package wire

// Decode and Answer are the ways without the generated code.
var (
	Decode = decode
	Answer = answer
)
