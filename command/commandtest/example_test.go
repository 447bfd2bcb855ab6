package commandtest_test

import (
	"testing"
	"time"

	"github.com/foldstream/foldstream/command/commandtest"
)

// A guest books a room, gets a mail, and does not confirm: after two days a
// command that a reactor has enqueued gives the room away.
func ExampleTest() {
	var t *testing.T // that of the test

	commandtest.Test(t, newHotel, func(_ *testing.T, k *commandtest.Kit) {
		k.When(book{Room: "2", Guest: "ada"}).Then(
			commandtest.Events("room-2", booked{Guest: "ada"}),
			commandtest.Sent(mail{To: "ada", Text: "welcome"}),
			commandtest.Answer(guestOf{Room: "2"}, guest{Name: "ada", State: "booked"}))
		k.Advance(48*time.Hour).Then(
			commandtest.Sent(release{Room: "2", Why: "not confirmed"}),
			commandtest.Events("room-2", released{Why: "not confirmed"}),
			commandtest.Answer(guestOf{Room: "2"}, guest{State: "free"}))
		k.When(confirm{Room: "2"}).Refused(errFree)
	})
}

func newHotel(env commandtest.Env) commandtest.App { return new(hotel).build(env) }
