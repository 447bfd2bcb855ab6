package wire

import (
	"bytes"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// What a request expects besides a revision is the same for all of them.
var (
	appendNoStream     = &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}}
	appendAny          = &streams.AppendReq_Options_Any{Any: &shared.Empty{}}
	appendStreamExists = &streams.AppendReq_Options_StreamExists{StreamExists: &shared.Empty{}}
	batchNoStream      = &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
	batchAny           = &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}}
	batchStreamExists  = &streams.BatchAppendReq_Options_StreamExists{StreamExists: &emptypb.Empty{}}
)

// Parts that come together are made in one allocation.
type (
	appendOptions struct {
		option  streams.AppendReq_Options_
		options streams.AppendReq_Options
		stream  shared.StreamIdentifier
	}
	appendEvent struct {
		option  streams.AppendReq_ProposedMessage_
		message streams.AppendReq_ProposedMessage
		id      uuid
	}
	batchOptions struct {
		options streams.BatchAppendReq_Options
		stream  shared.StreamIdentifier
		id      uuid // of the batch
	}
	batchEvent struct {
		message streams.BatchAppendReq_ProposedMessage
		id      uuid
	}
)

// decode reads a request to append in the form in which clients write it, with
// a third of the allocations of the generated code. It reports false for any
// other, also for one that is wrong; m may hold something then.
func decode(b []byte, v any) bool {
	s := scan{rest: b}
	switch m := v.(type) {
	case *streams.AppendReq:
		s.appendReq(m)
	case *streams.BatchAppendReq:
		s.repeated = 3
		s.batchAppendReq(m)
	default:
		return false
	}
	return !s.failed
}

func (s *scan) appendReq(m *streams.AppendReq) {
	for s.next() {
		s.fail(m.Content == nil)
		switch s.tag {
		case tag(1, text):
			all := &appendOptions{}
			s.appendOptions(&all.options, &all.stream)
			all.option.Options = &all.options
			m.Content = &all.option
		case tag(2, text):
			all := &appendEvent{}
			p, e := s.proposal(&all.id), &all.message
			e.Id, e.Metadata, e.CustomMetadata, e.Data = p.id, p.metadata, p.custom, p.data
			all.option.ProposedMessage = e
			m.Content = &all.option
		default:
			s.fail(false)
		}
	}
}

func (s *scan) appendOptions(o *streams.AppendReq_Options, id *shared.StreamIdentifier) {
	f := scan{rest: s.bytes}
	for f.next() {
		if f.tag == tag(1, text) {
			o.StreamIdentifier = f.stream(id)
			continue
		}
		f.fail(o.ExpectedStreamRevision == nil)
		switch f.tag {
		case tag(2, number):
			o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: f.number}
		case tag(3, text):
			f.empty()
			o.ExpectedStreamRevision = appendNoStream
		case tag(4, text):
			f.empty()
			o.ExpectedStreamRevision = appendAny
		case tag(5, text):
			f.empty()
			o.ExpectedStreamRevision = appendStreamExists
		default:
			f.fail(false)
		}
	}
	s.fail(!f.failed)
}

func (s *scan) batchAppendReq(m *streams.BatchAppendReq) {
	all := &batchOptions{}
	for s.next() {
		switch s.tag {
		case tag(1, text):
			m.CorrelationId = s.id(&all.id)
		case tag(2, text):
			s.batchOptions(&all.options, &all.stream)
			m.Options = &all.options
		case tag(3, text):
			one := &batchEvent{}
			p, e := s.proposal(&one.id), &one.message
			e.Id, e.Metadata, e.CustomMetadata, e.Data = p.id, p.metadata, p.custom, p.data
			m.ProposedMessages = append(m.ProposedMessages, e)
		case tag(4, number):
			m.IsFinal = s.number != 0
		default:
			s.fail(false)
		}
	}
}

func (s *scan) batchOptions(o *streams.BatchAppendReq_Options, id *shared.StreamIdentifier) {
	f := scan{rest: s.bytes}
	for f.next() {
		switch f.tag {
		case tag(1, text):
			o.StreamIdentifier = f.stream(id)
			continue
		case tag(6, text):
			f.fail(o.DeadlineOption == nil)
			at := &timestamppb.Timestamp{}
			f.fail(proto.Unmarshal(f.bytes, at) == nil)
			o.DeadlineOption = &streams.BatchAppendReq_Options_Deadline_21_10_0{Deadline_21_10_0: at}
			continue
		case tag(7, text):
			f.fail(o.DeadlineOption == nil)
			in := &durationpb.Duration{}
			f.fail(proto.Unmarshal(f.bytes, in) == nil)
			o.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: in}
			continue
		}
		f.fail(o.ExpectedStreamPosition == nil)
		switch f.tag {
		case tag(2, number):
			o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: f.number}
		case tag(3, text):
			f.empty()
			o.ExpectedStreamPosition = batchNoStream
		case tag(4, text):
			f.empty()
			o.ExpectedStreamPosition = batchAny
		case tag(5, text):
			f.empty()
			o.ExpectedStreamPosition = batchStreamExists
		default:
			f.fail(false)
		}
	}
	s.fail(!f.failed)
}

// A proposal is an event to append, in either request.
type proposal struct {
	id           *shared.UUID
	metadata     map[string]string
	custom, data []byte
}

func (s *scan) proposal(id *uuid) (p proposal) {
	f := scan{rest: s.bytes, repeated: 2}
	for f.next() {
		switch f.tag {
		case tag(1, text):
			p.id = f.id(id)
		case tag(2, text):
			if p.metadata == nil {
				p.metadata = make(map[string]string, 2)
			}
			key, value := f.entry()
			p.metadata[key] = value
		case tag(3, text):
			p.custom = bytes.Clone(f.bytes)
		case tag(4, text):
			p.data = bytes.Clone(f.bytes)
		default:
			f.fail(false)
		}
	}
	s.fail(!f.failed)
	return p
}
