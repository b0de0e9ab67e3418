# terraform apply, or tofu apply. KUBE_CONFIG_PATH names the kubeconfig.
# A destroy uninstalls in the reverse order of depends_on.
terraform {
  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = ">= 2.4" # older ones give a destroy no timeout
    }
  }
}

resource "helm_release" "arc" {
  name              = "arc"
  namespace         = "arc-systems"
  create_namespace  = true
  chart             = "${path.module}/../charts/arc"
  dependency_update = true
  timeout           = 300 # of the destroy, too: at least the hook's helmTimeoutSeconds
}

resource "helm_release" "arc_runner_set" {
  name              = "arc-runner-set"
  namespace         = "arc-runners"
  create_namespace  = true
  chart             = "${path.module}/../charts/arc-runner-set"
  dependency_update = true
  timeout           = 300
  depends_on        = [helm_release.arc]

  values = [yamlencode({
    gha-runner-scale-set = { githubConfigUrl = "https://github.com/acme" }
  })]
}
