package plan

import (
	"errors"
	"fmt"
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Remain is a part of ARC that this uninstall does not cover and that stays. If there is one, the
// report must not claim that nothing of ARC is left.
type Remain struct {
	What string       `json:"what"`
	Do   List[string] `json:"do"`
	// Lease says that it is only a Lease, which does not disturb a controller that is installed
	// later.
	Lease bool `json:"-"`
}

// Job is the job of an EphemeralRunner, according to its status
// (apis/actions.github.com/v1alpha1/ephemeralrunner_types.go).
type Job struct {
	Repository, Workflow, Name string
	// Pod is the runner's Pod, which is still running.
	Pod *object.Object
	// Guess says why the runner may have a job, if no field names the job.
	Guess string
	// Alone says that nothing scales the legacy runner, so that it may outlive its job.
	Alone bool
}

func (j Job) String() string {
	if j.Guess != "" {
		return "a job, as far as arc-cleanup can tell: " + j.Guess
	}
	return fmt.Sprintf("job %q of %s (%s)", j.Name, j.Repository, j.Workflow)
}

// Controller is one installed controller of ARC.
type Controller struct {
	*object.Object
	// Watches are the namespaces that it watches; empty for all.
	Watches []string
	// Down says why the controller will not do its work; empty if it runs.
	Down string
	// Flux is the namespace of the HelmRelease with which Flux manages the controller, if it does.
	Flux string
	// LockedOut names the namespaces in which it lacks the rights to finish its work.
	LockedOut map[string]bool
	// Legacy says that it is a controller of actions.summerwind.dev.
	Legacy bool
	// Lease is the Lease with which its replicas elect a leader; empty if they elect none.
	Lease string
	// Account is its ServiceAccount.
	Account types.NamespacedName
	// Unproven says why its rights are only claimed: a question about them got no answer.
	Unproven error
}

// ScaleSetRelease is a Helm release that installed scale sets, for scaleSets=uninstall.
type ScaleSetRelease struct {
	Release types.NamespacedName
	// Sets are the scale sets in its record.
	Sets []identity.Set
	// Pending says that Helm is changing the release.
	Pending bool
	// Objects are its existing objects other than its scale sets.
	Objects []*object.Object
	// Records are the objects in which Helm stores the release.
	Records []*object.Object
	// Others names what it installed in addition to scale sets.
	Others []string
}

// OfJob is a Pod or a Secret whose label names the runner of its job, for jobs that run in Pods of
// their own (containerMode: kubernetes). The runner's container hooks create these objects, which
// have no owner.
type OfJob struct {
	*object.Object
	// Runner is the name of the EphemeralRunner, or of the legacy runner's Pod, in a label. Anyone
	// who may write the object can have set it.
	Runner string
}

// Webhooks is a configuration of the legacy chart's webhooks.
type Webhooks struct {
	*object.Object
	// Service is the Service that answers them.
	Service types.NamespacedName
	// Dead says why they get no answer; empty if they may get one.
	Dead string
}

// ProtectedResources are the core kinds on which ARC's chart puts finalizers.
var ProtectedResources = []schema.GroupVersionResource{object.RoleBindings, object.Roles, object.ServiceAccounts, object.Secrets}

// ScaleSetInfo is what only the AutoscalingRunnerSet itself says.
type ScaleSetInfo struct {
	// Current and Running count all its runners and the busy ones.
	Current, Running int64
	// ID, Name, Group and URL identify the scale set at GitHub; ID is empty until it is registered.
	ID, Name, Group, URL string
	// Secret, Proxy and CA name what its controller uses to reach GitHub: the Secret with the
	// credentials, the address of the proxy, and the ConfigMap with the certificate authority.
	Secret, Proxy, CA string
}

// Unknown is a failed read. It never counts as "not there".
type Unknown struct {
	What string
	Err  error
}

// Survey is what was read of the cluster.
type Survey struct {
	// Off is set if the off switch is on.
	Off bool
	// Record is Helm's record of the release that is being uninstalled; nil if none was searched
	// for.
	Record *helm.Record
	// ProofErr says why a search found no Record.
	ProofErr error
	// ByArgoCD says that Argo CD created the hook's Job.
	ByArgoCD bool

	CRDs         []*object.Object
	Custom       []*object.Object // ARC's custom resources, children before parents
	Protected    []*object.Object // core objects with an ARC finalizer
	ListenerRBAC []*object.Object // listeners' Roles and RoleBindings, which have no owner
	Held         []*object.Object // core objects whose deletion is held up by finalizers of other tools
	Dependents   []*object.Object // Pods, Secrets, ServiceAccounts owned by a custom resource
	Controllers  []Controller
	// For Scope Legacy, Webhooks are the legacy chart's, Linked are the Pods and Secrets of jobs of
	// legacy runners, and Custom also holds the runners' Pods.
	Webhooks []Webhooks
	Linked   []*object.Object
	// OfJobs are the Pods and Secrets whose label names an EphemeralRunner.
	OfJobs []OfJob
	// LegacyHeld are the Pods with finalizers of legacy ARC, for Scope Controller.
	LegacyHeld []*object.Object
	// Registered holds, by UID, the Pods of legacy runners that are still registered at GitHub.
	Registered map[types.UID]bool
	// Installed are the Helm releases of scale sets, for scaleSets=uninstall.
	Installed []ScaleSetRelease
	// Records are what runs have written down of scale sets at GitHub. BadRecords are Secrets that look like records, and are not.
	Records    []Record
	BadRecords []Finding
	// RecordsErr says why a hook could not read them: GitHub must not keep it from the cluster.
	RecordsErr error
	// Busy holds the jobs of EphemeralRunners, by UID.
	Busy map[types.UID]Job
	// Terminating holds the namespaces that are being deleted, by name.
	Terminating map[string]Terminating
	// Proven holds, by UID, the installed objects that are also in the record of the Helm release
	// which they name.
	Proven map[types.UID]bool
	// Managers holds, by UID, what manages objects that are still installed.
	Managers map[types.UID]*Manager
	// Live says, for Scope Namespace, that the namespace exists and is not being deleted.
	Live bool
	// Sets holds more about each AutoscalingRunnerSet, by UID.
	Sets map[types.UID]ScaleSetInfo

	// Obstacles are webhooks and APIs of other software that do not answer and may block the
	// uninstall. The report names them; the run leaves them alone. ObstaclesErr says why the survey
	// could not search for them.
	Obstacles    []Finding
	ObstaclesErr error

	Unknown []Unknown
}

// ErrNotAsked is the error of a read that was not tried because the time was over.
var ErrNotAsked = errors.New("there was no time left to ask")

// Asked returns the reads that were tried and failed. The reads that were not tried follow from
// them, so it returns those only if there are no others.
func (s *Survey) Asked() []Unknown {
	asked := slices.DeleteFunc(slices.Clone(s.Unknown), func(u Unknown) bool { return errors.Is(u.Err, ErrNotAsked) })
	if len(asked) == 0 {
		return s.Unknown
	}
	return asked
}
