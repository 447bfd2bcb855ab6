package race

// The same events without generated methods, as most users write them: package
// codec then encodes them by reflection.
type (
	plainPlaced    Placed
	plainLineAdded LineAdded
	plainPaid      Paid
	plainShipped   Shipped
)

type plainEvent interface{ isPlain() }

func (plainPlaced) isPlain()    {}
func (plainLineAdded) isPlain() {}
func (plainPaid) isPlain()      {}
func (plainShipped) isPlain()   {}

type plainOrder struct{ Order }

// Evolve is foldstream's fold.
func (o plainOrder) Evolve(e plainEvent) plainOrder {
	switch e := e.(type) {
	case plainPlaced:
		o.Order = o.OnPlaced(Placed(e))
	case plainLineAdded:
		o.Order = o.OnLineAdded(LineAdded(e))
	case plainPaid:
		o.Order = o.OnPaid(Paid(e))
	case plainShipped:
		o.Order = o.OnShipped(Shipped(e))
	}
	return o
}

func (o plainOrder) place(c Place) ([]plainEvent, error) {
	if err := o.CanPlace(); err != nil {
		return nil, err
	}
	return []plainEvent{plainPlaced(c.Placed)}, nil
}

func (o plainOrder) addLine(c AddLine) ([]plainEvent, error) {
	if err := o.CanAddLine(); err != nil {
		return nil, err
	}
	return []plainEvent{plainLineAdded(c.LineAdded)}, nil
}

// PlainOf returns the event without generated methods.
func PlainOf(e Event) any {
	switch e := e.(type) {
	case Placed:
		return plainPlaced(e)
	case LineAdded:
		return plainLineAdded(e)
	case Paid:
		return plainPaid(e)
	case Shipped:
		return plainShipped(e)
	}
	return nil
}
