package logstore

import (
	"testing"

	"github.com/foldstream/foldstream/eventstore"
)

func BenchmarkDecodeFrame(b *testing.B) {
	h := header{storeID: eventstore.NewID(), first: 1}
	g := h.base()
	meta := eventstore.NewMetadata("$correlationId", eventstore.NewID().String(), "$causationId", eventstore.NewID().String())
	p := place{base: &g, off: 640, position: 100_000, version: 7, id: eventstore.NewID(), created: 5e9, flags: flagCommit | flagSynced}
	enc := appendFrame(nil, &p, "order-00000042", &eventstore.Event{Type: "order.placed", ContentType: eventstore.ContentTypeMsgpack, Metadata: meta, Data: make([]byte, 200)})
	b.SetBytes(int64(len(enc)))
	b.Run("whole", func(b *testing.B) {
		var f frame
		for b.Loop() {
			if f.decode(enc, &g, 640) != "" {
				b.Fatal("damaged")
			}
		}
	})
	b.Run("without checksum", func(b *testing.B) {
		var f frame
		n, k := frameLength(enc)
		for b.Loop() {
			if !f.parse(enc[k+4:k+4+n], &g) {
				b.Fatal("damaged")
			}
		}
	})
}
