package wire

import (
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/protobuf/encoding/protowire"
)

// answer returns the frame of a successful append, or nil for any other
// message, which is for the generated code.
func answer(v any) *Frame {
	var scratch [64]byte // what an append says about itself never takes more
	switch m := v.(type) {
	case *streams.AppendResp:
		ok := m.GetSuccess()
		if ok == nil {
			return nil
		}
		b := scratch[:0]
		switch o := ok.GetCurrentRevisionOption().(type) {
		case *streams.AppendResp_Success_CurrentRevision:
			b = appendNumber(b, 1, o.CurrentRevision)
		case *streams.AppendResp_Success_NoStream:
			b = appendHeader(b, 2, 0)
		}
		switch o := ok.GetPositionOption().(type) {
		case *streams.AppendResp_Success_Position:
			b = appendPosition(b, o.Position.GetCommitPosition(), o.Position.GetPreparePosition())
		case *streams.AppendResp_Success_NoPosition:
			b = appendHeader(b, 4, 0)
		}
		f := &Frame{}
		f.set(appendText(make([]byte, 0, 2+len(b)), 1, b))
		return f
	case *streams.BatchAppendResp:
		ok := m.GetSuccess()
		if ok == nil {
			return nil
		}
		b := scratch[:0]
		switch o := ok.GetCurrentRevisionOption().(type) {
		case *streams.BatchAppendResp_Success_CurrentRevision:
			b = appendNumber(b, 1, o.CurrentRevision)
		case *streams.BatchAppendResp_Success_NoStream:
			b = appendHeader(b, 2, 0)
		}
		switch o := ok.GetPositionOption().(type) {
		case *streams.BatchAppendResp_Success_Position:
			b = appendPosition(b, o.Position.GetCommitPosition(), o.Position.GetPreparePosition())
		case *streams.BatchAppendResp_Success_NoPosition:
			b = appendHeader(b, 4, 0)
		}
		f := &Frame{}
		f.set(appendBatch(m, b))
		return f
	}
	return nil
}

// appendPosition writes a position, whose zeros are left out.
func appendPosition(b []byte, commit, prepare uint64) []byte {
	b = appendHeader(b, 3, numberSize(commit)+numberSize(prepare))
	if commit != 0 {
		b = appendNumber(b, 1, commit)
	}
	if prepare != 0 {
		b = appendNumber(b, 2, prepare)
	}
	return b
}

// appendBatch writes the answer to a batch around success.
func appendBatch(m *streams.BatchAppendResp, success []byte) []byte {
	name := m.GetStreamIdentifier().GetStreamName()
	const room = 2 + 2 + textIDSize + 2 + 10 + 11 + 11 // id, headers and what was expected
	b := make([]byte, 0, room+len(success)+len(name))
	switch id := m.GetCorrelationId().GetValue().(type) {
	case *shared.UUID_Structured_:
		most, least := uint64(id.Structured.GetMostSignificantBits()), uint64(id.Structured.GetLeastSignificantBits())
		halves := numberSize(most) + numberSize(least)
		b = appendHeader(b, 1, 1+protowire.SizeBytes(halves))
		b = appendHeader(b, fieldStructured, halves)
		if most != 0 {
			b = appendNumber(b, fieldMost, most)
		}
		if least != 0 {
			b = appendNumber(b, fieldLeast, least)
		}
	case *shared.UUID_String_:
		b = appendHeader(b, 1, 1+protowire.SizeBytes(len(id.String_)))
		b = appendText(b, fieldText, id.String_)
	}
	b = appendText(b, 3, success)
	if m.GetStreamIdentifier() != nil {
		size := 0
		if len(name) > 0 {
			size = 1 + protowire.SizeBytes(len(name))
		}
		b = appendHeader(b, 4, size)
		if size > 0 {
			b = appendText(b, fieldName, name)
		}
	}
	switch o := m.GetExpectedStreamPosition().(type) {
	case *streams.BatchAppendResp_StreamPosition:
		b = appendNumber(b, 5, o.StreamPosition)
	case *streams.BatchAppendResp_NoStream:
		b = appendHeader(b, 6, 0)
	case *streams.BatchAppendResp_Any:
		b = appendHeader(b, 7, 0)
	case *streams.BatchAppendResp_StreamExists:
		b = appendHeader(b, 8, 0)
	}
	return b
}
