package helm

// Status is Helm's word for the state of a revision (helm.sh/helm pkg/release/status.go).
type Status string

// The states in which a revision is stored.
const (
	// Deployed means that Helm has installed the revision.
	Deployed Status = "deployed"
	// Failed means that its installation, upgrade or rollback failed. Helm writes it no more, and uninstalls
	// it like any other.
	Failed Status = "failed"
	// Superseded means that there was a newer revision. It is the newest if that one's record is lost, or if
	// `helm install --replace` was stopped.
	Superseded Status = "superseded"
	// Uninstalling is recorded before Helm creates the first pre-delete hook
	// (helm.sh/helm pkg/action/uninstall.go), and stays if a hook fails.
	Uninstalling Status = "uninstalling"
	// Uninstalled is what `helm uninstall --keep-history` leaves: the record alone.
	Uninstalled Status = "uninstalled"

	PendingInstall  Status = "pending-install"
	PendingUpgrade  Status = "pending-upgrade"
	PendingRollback Status = "pending-rollback"
)

// Pending reports whether Helm is at work on the revision, or was stopped at it.
func (s Status) Pending() bool {
	return s == PendingInstall || s == PendingUpgrade || s == PendingRollback
}

// Installed reports whether `helm uninstall` runs hooks and deletes objects if the newest revision has this
// state. It does in every state but one: then it only deletes the records.
func (s Status) Installed() bool { return s != Uninstalled }

// Editable reports whether an edit of a newest revision in this state lasts: Helm does not write the
// revision again until the uninstall, and then runs its hooks. Helm writes a pending revision from memory.
func (s Status) Editable() bool {
	return s == Deployed || s == Failed || s == Superseded
}
