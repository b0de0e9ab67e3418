package harness

// ScaleSetValues are arguments of Helm with the values of ARC's scale-set chart: one
// runner, of a controller that was installed as the release arc. The prefix is the
// chart's name and a dot where it is a dependency.
func ScaleSetValues(prefix, githubConfigURL, controllerNamespace string) []string {
	var args []string
	for _, v := range []string{
		"githubConfigUrl=" + githubConfigURL,
		"githubConfigSecret.github_token=not-a-token",
		"minRunners=1", "maxRunners=2",
		"controllerServiceAccount.name=arc-gha-rs-controller",
		"controllerServiceAccount.namespace=" + controllerNamespace,
	} {
		args = append(args, "--set", prefix+v)
	}
	return args
}
