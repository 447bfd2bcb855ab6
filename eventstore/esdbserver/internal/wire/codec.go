// Package wire writes what EventStoreDB clients read: events straight from the
// store's form into protobuf bytes, without the generated structures between,
// and the small conversions that the services share.
package wire

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that Codec hands on to
	"google.golang.org/grpc/mem"
)

// A Frame is a message that is encoded already. It can be sent once or often,
// and is never changed.
type Frame struct {
	data    mem.SliceBuffer
	buffers [1]mem.Buffer // data, as gRPC wants it, without an allocation for each
}

// Bytes returns the message. It must not be changed.
func (f *Frame) Bytes() []byte { return f.data }

func (f *Frame) set(data []byte) {
	f.data = data
	f.buffers[0] = &f.data
}

// A Codec is gRPC's protobuf codec, which lets a [*Frame] pass as it is, and
// reads and answers appends without the generated code where it can. Use it with
// grpc.ForceServerCodecV2.
type Codec struct{}

var protobuf = encoding.GetCodecV2("proto")

// Marshal implements [encoding.CodecV2].
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*Frame); ok {
		return f.buffers[:], nil
	}
	if f := answer(v); f != nil {
		return f.buffers[:], nil
	}
	return protobuf.Marshal(v)
}

// Unmarshal implements [encoding.CodecV2]. v must be empty.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	if len(data) == 1 && decode(data[0].ReadOnlyData(), v) {
		return nil
	}
	return protobuf.Unmarshal(data, v)
}

// Name implements [encoding.CodecV2]. It is protobuf on the wire.
func (Codec) Name() string { return "proto" }
