package projection

import "time"

// waitTimer is one timer that goes on while the lane is woken for nothing.
type waitTimer struct {
	timer *time.Timer
	d     time.Duration
}

func (t *waitTimer) after(d time.Duration) <-chan time.Time {
	if t.timer == nil || t.d != d {
		t.stop()
		t.timer, t.d = time.NewTimer(d), d
	}
	return t.timer.C
}

func (t *waitTimer) stop() {
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}
