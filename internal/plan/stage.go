package plan

// Stage says what is still expected of the controller.
type Stage int

const (
	// Fresh is the beginning: the controller gets its grace period.
	Fresh Stage = iota
	// Slow means that the controller made no progress, perhaps because it waits before its next
	// try. It is woken, and woken again as long as each wake leads to progress.
	Slow
	// Stuck means that it tried and made no progress. It gets its grace period again as long as
	// there is something to nudge.
	Stuck
	// Over means that nothing more is expected of it.
	Over
)

// AfterDrain returns the stage that follows when a drain is over. New skips a stage in which
// nothing is to be done. Legacy runners have a drain, and their owners have one after it.
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
