// Package shred encrypts the personal data in events so that it can be erased
// from a log that never changes: each data subject has a key, what belongs to
// the subject is encrypted with it, and to delete the key is to erase the data,
// in the log and in every copy of it. The events stay, and so does their order.
// This is known as crypto-shredding.
//
// Which fields are personal, and whose, is said by struct tags, so that the
// types of a domain need no import:
//
//	type Registered struct {
//		ID    string
//		Name  string `personal:"customer/ID" erased:"[erased]"`
//		Email string `personal:"customer/ID"`
//	}
//
// Name and Email belong to the subject "customer/" followed by the value of ID.
// What is stored is the event with its personal fields blank, or with the
// placeholder in them; what was in them is encrypted in the event's metadata. So
// whoever has no key, or comes when it is erased, reads an ordinary event.
//
//	keys, err := keydir.Open("data/keys", &keydir.Options{Master: master})
//	ring := shred.NewRing(keys, nil)
//	events := codec.New(ring.Seal(), codec.Type[Registered]("customer.registered"))
//	…
//	err = ring.Erase(ctx, "customer/ada")
//
// # What an event that is read shows
//
// While the key is there, the event that was written. Once it is erased, the
// event without the fields: never an error, because a fold must not fail. A key
// that cannot be had now, or that the store of keys has never heard of, is
// something else: an error that matches [eventstore.ErrUnavailable], with which
// projections wait and commands are refused. Nothing is ever shown as erased
// because a store of keys was lost or is out of reach.
//
// # What it does not do
//
// The subject's id itself, the names of fields, the length of what is encrypted
// and all other fields are not secret. Whoever can write to the log can remove
// events or repeat them, as without encryption, but cannot make, change or move
// what is sealed. See docs/adr/0022 for the threat model and the limits, and
// docs/erasure.md for how to answer a request for erasure.
package shred
