package plan

// Stage says what of the controller is still expected.
type Stage int

const (
	// Fresh is the beginning: the controller gets its time.
	Fresh Stage = iota
	// Slow says that it made no progress: it may only be waiting until it tries again. It
	// is woken, and again as often as that brought something on.
	Slow
	// Stuck says that it made no progress although it tried; as often as there is
	// something to nudge it gets its time again.
	Stuck
	// Over says that nothing more is expected of it.
	Over
)

// AfterDrain is the stage that follows when a drain is over. What has nothing to do in
// it is passed over then. Legacy runners and their owners have a drain each.
func (s Stage) AfterDrain(scope Scope) Stage {
	switch {
	case scope == ScopeLegacy && s == Fresh:
		return Stuck
	case scope == ScopeLegacy:
		return Over
	case s == Fresh:
		return Slow
	default:
		return s
	}
}
