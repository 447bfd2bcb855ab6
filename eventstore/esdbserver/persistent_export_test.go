package esdbserver

// What fuzzing reaches.
var (
	CreateDefinition = createDefinition
	UpdateDefinition = updateDefinition
	ParseIDs         = parseIDs
)
