package release

// Status is Helm's word for the state of a revision (helm.sh/helm
// pkg/release/status.go).
type Status string

// The states in which a revision is stored.
const (
	// Deployed is a revision which Helm has finished installing.
	Deployed Status = "deployed"
	// Failed is one whose installation, upgrade or rollback failed. Helm writes it
	// no more, and uninstalls it as any other.
	Failed Status = "failed"
	// Superseded is one after which there was a newer one. It is the newest where
	// that one's record is lost, or `helm install --replace` was stopped.
	Superseded Status = "superseded"
	// Uninstalling is recorded before the first pre-delete hook is created
	// (helm.sh/helm pkg/action/uninstall.go), and stays where one fails.
	Uninstalling Status = "uninstalling"
	// Uninstalled is what `helm uninstall --keep-history` leaves: the record alone.
	Uninstalled Status = "uninstalled"

	PendingInstall  Status = "pending-install"
	PendingUpgrade  Status = "pending-upgrade"
	PendingRollback Status = "pending-rollback"
)

// Pending reports whether Helm is at work on the revision and will record its end,
// or was stopped before.
func (s Status) Pending() bool {
	return s == PendingInstall || s == PendingUpgrade || s == PendingRollback
}

// Installed reports whether `helm uninstall` of a release whose newest revision is
// in this state runs its hooks and deletes its objects. It does in every state but
// one, in which it only deletes the records.
func (s Status) Installed() bool { return s != Uninstalled }

// Editable reports whether what is written into a newest revision in this state
// stays there and is heeded: Helm writes it no more until the uninstall, and then
// runs its hooks. What it is at work on it writes from memory.
func (s Status) Editable() bool {
	return s == Deployed || s == Failed || s == Superseded
}
