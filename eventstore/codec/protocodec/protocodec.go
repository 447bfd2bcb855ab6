// Package protocodec encodes events as Protocol Buffers.
//
// An event is a generated message, registered and handled as the pointer that
// messages are:
//
//	codec.Type[*orderpb.Placed]("order.placed", codec.As(protocodec.Protobuf))
//
// It is a package of its own so that package codec does not import Protobuf.
package protocodec

import (
	"errors"
	"fmt"
	"reflect"

	"google.golang.org/protobuf/proto"

	"github.com/foldstream/foldstream/eventstore/codec"
)

// ContentType is recorded with events in Protobuf.
const ContentType = "application/protobuf"

// Protobuf encodes messages in the binary format, equal ones with one version
// of the library to equal bytes. Fields that the program does not know are
// kept and written again. The format does not say where a message ends, nor
// whose it is: data of another message may decode without an error.
var Protobuf codec.Encoding = encoding{}

type encoding struct{}

var (
	_ codec.TypeChecker = encoding{}

	marshal   = proto.MarshalOptions{Deterministic: true}
	unmarshal = proto.UnmarshalOptions{}
)

// ContentType implements [codec.Encoding].
func (encoding) ContentType() string { return ContentType }

// CheckType implements [codec.TypeChecker].
func (encoding) CheckType(t reflect.Type) error {
	message := reflect.TypeFor[proto.Message]()
	switch {
	case t.Kind() == reflect.Pointer && t.Implements(message):
		return nil
	case t.Kind() == reflect.Struct && reflect.PointerTo(t).Implements(message):
		return fmt.Errorf("%v is a Protobuf message, which must not be copied; register *%v", t, t)
	}
	return fmt.Errorf("%v is no Protobuf message; register the pointer to a generated type", t)
}

// Marshal implements [codec.Encoding].
func (e encoding) Marshal(v any) ([]byte, error) { return e.Append(nil, v) }

// Append implements [codec.Encoding].
func (encoding) Append(b []byte, v any) ([]byte, error) {
	m, err := message(v)
	if err != nil {
		return b, err
	}
	return marshal.MarshalAppend(b, m)
}

// Unmarshal implements [codec.Encoding]. v is a message, or points to a pointer
// to one, which then points to a new message.
func (encoding) Unmarshal(data []byte, v any) error {
	if m, ok := v.(proto.Message); ok {
		return unmarshal.Unmarshal(data, m)
	}
	ptr := reflect.ValueOf(v)
	if ptr.Kind() != reflect.Pointer || ptr.Elem().Kind() != reflect.Pointer {
		return notAMessage(v)
	}
	fresh := reflect.New(ptr.Type().Elem().Elem())
	m, ok := fresh.Interface().(proto.Message)
	if !ok {
		return notAMessage(v)
	}
	if err := unmarshal.Unmarshal(data, m); err != nil {
		return err
	}
	ptr.Elem().Set(fresh)
	return nil
}

// message returns the message that v is or points to.
func message(v any) (proto.Message, error) {
	m, ok := v.(proto.Message)
	if !ok {
		ptr := reflect.ValueOf(v)
		if ptr.Kind() == reflect.Pointer && ptr.Elem().Kind() == reflect.Pointer {
			m, ok = ptr.Elem().Interface().(proto.Message)
		}
	}
	if !ok {
		return nil, notAMessage(v)
	}
	if !m.ProtoReflect().IsValid() {
		return nil, errors.New("protobuf: a nil message is no event")
	}
	return m, nil
}

func notAMessage(v any) error { return fmt.Errorf("protobuf: %T is no message", v) }
