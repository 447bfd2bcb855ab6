package boundary_test

import (
	"errors"
	"fmt"

	"github.com/foldstream/foldstream/aggregate/boundary"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
)

// A school: courses have seats, and students do not take too many courses. No
// thing of the two can decide alone, and no aggregate holds them both.
type (
	fact interface{ Tags() []string }

	courseOffered struct {
		Course string
		Seats  int
	}
	seatsChanged struct {
		Course string
		Seats  int
	}
	enrolled struct{ Course, Student string }
	left     struct{ Course, Student string }
)

func course(id string) string  { return eventstore.Tag("course", id) }
func student(id string) string { return eventstore.Tag("student", id) }

func (e courseOffered) Tags() []string { return []string{course(e.Course)} }
func (e seatsChanged) Tags() []string  { return []string{course(e.Course)} }
func (e enrolled) Tags() []string      { return []string{course(e.Course), student(e.Student)} }
func (e left) Tags() []string          { return []string{course(e.Course), student(e.Student)} }

var facts = codec.New(
	codec.Type[courseOffered]("course.offered"),
	codec.Type[seatsChanged]("course.seats-changed"),
	codec.Type[enrolled]("course.enrolled"),
	codec.Type[left]("course.left"),
	codec.Type[nameClaimed]("user.name-claimed"),
	codec.Type[untagged]("untagged"),
)

// Small models, each about one question. They are made again for each decision
// and put together as a rule needs them.

func seatsOf(id string) boundary.Model[int] {
	return boundary.Fold(0, []string{course(id)},
		boundary.When(func(_ int, e courseOffered) int { return e.Seats }),
		boundary.When(func(_ int, e seatsChanged) int { return e.Seats }),
	)
}

// enrolments counts those with a tag: of a course, or of a student.
func enrolments(tags ...string) boundary.Model[int] {
	return boundary.Fold(0, tags,
		boundary.When(func(n int, _ enrolled) int { return n + 1 }),
		boundary.When(func(n int, _ left) int { return n - 1 }),
	)
}

// An enrolment is what is decided from when a student wants a seat.
type enrolment struct{ seats, taken, courses, already int }

var (
	errNoSuchCourse = errors.New("there is no such course")
	errFull         = errors.New("the course is full")
	errTooMany      = errors.New("the student has enough courses")
	errAlready      = errors.New("the student is enrolled already")
)

const coursesPerStudent = 3

type enroll struct{ Course, Student string }

func (c enroll) about() (string, boundary.Model[enrolment]) {
	return "course-" + c.Course, boundary.Compose(
		boundary.Part(seatsOf(c.Course), func(e *enrolment) *int { return &e.seats }),
		boundary.Part(enrolments(course(c.Course)), func(e *enrolment) *int { return &e.taken }),
		boundary.Part(enrolments(student(c.Student)), func(e *enrolment) *int { return &e.courses }),
		boundary.Part(enrolments(course(c.Course), student(c.Student)), func(e *enrolment) *int { return &e.already }),
	)
}

func (e enrolment) enroll(c enroll) ([]fact, error) {
	switch {
	case e.seats == 0:
		return nil, fmt.Errorf("%w: %s", errNoSuchCourse, c.Course)
	case e.already > 0:
		return nil, errAlready
	case e.taken >= e.seats:
		return nil, errFull
	case e.courses >= coursesPerStudent:
		return nil, errTooMany
	}
	return []fact{enrolled(c)}, nil
}

// A user name is claimed once.
type (
	nameClaimed struct{ Name, User string }
	untagged    struct{ N int }
)

func (e nameClaimed) Tags() []string { return []string{eventstore.Tag("name", e.Name)} }

func nameIsTaken(name string) boundary.Model[bool] {
	return boundary.Fold(false, nameClaimed{Name: name}.Tags(),
		boundary.When(func(bool, nameClaimed) bool { return true }),
	)
}
