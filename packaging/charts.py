"""Checks the Helm chart: lint, strict schemas of Kubernetes, and the manifests that are made of it.

    python packaging/charts.py CHART MANIFESTS SCRATCH [--write]

Helm is its own library here, from PyPI, and no cluster is asked. `--write` makes the manifests anew.
"""

import json
import pathlib
import subprocess
import sys

import helm_python
import kubernetes_validate
import yaml

# The oldest and the newest version of Kubernetes that the chart is held to.
VERSIONS = ["1.27", "1.33"]
HEADER = "# Made of deploy/helm/portcullis with its default values, by `cargo xtask packages --write-manifests`.\n"

# Values beside the defaults: what a chart is that nobody looks at by hand.
CONSOLE = {
    "console": {"enabled": True},
    "podAnnotations": {"prometheus.io/scrape": "true"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "networkPolicy": {
        "callers": [{"namespaceSelector": {"matchLabels": {"gates": "yes"}}}],
        "store": [{"ipBlock": {"cidr": "10.0.0.0/24"}}],
    },
}
BAD_VALUES = [
    {"authority": {"replicas": 0}},
    {"authority": {"replicas": "two"}},
    {"image": {"repository": ""}},
    {"console": {"unknown": True}},
    {"secrets": {"tls": ""}},
]


def main(chart_path, manifests, scratch, write):
    lint(chart_path)
    chart = helm_python.Chart.load(chart_path)
    refuse_bad_values(chart)

    default = render(chart, {})
    for values in [{}, CONSOLE, {"networkPolicy": {"enabled": False}}]:
        resources = render(chart, values)
        for version in VERSIONS:
            validate(resources, version)
        for resource in resources:
            check_pods(resource)
    print(f"{len(default)} resources, each valid for Kubernetes {', '.join(VERSIONS)}")

    text = HEADER + "---\n".join(dump(resource) for resource in default)
    compare(manifests / "portcullis.yaml", text, write)
    kustomize(manifests, default)
    archive = helm_python.package(str(chart_path), destination=str(scratch))
    print(f"packaged {archive}")


def lint(chart_path):
    report = helm_python.lint(str(chart_path), strict=True)
    findings = [it for it in report["messages"] if it["severity"] >= 2]
    if findings or report["errors"]:
        sys.exit(f"helm lint: {json.dumps(report, indent=2)}")


def refuse_bad_values(chart):
    for values in BAD_VALUES:
        try:
            chart.validate_schema(values)
        except helm_python.HelmError:
            continue
        sys.exit(f"values.schema.json takes {values}")


def render(chart, values):
    rendered = chart.render(values, name="portcullis", namespace="portcullis")
    resources = []
    for path, text in sorted(rendered.items()):
        if path.endswith(".yaml"):
            resources += [it for it in yaml.safe_load_all(text) if it]
    return resources


def validate(resources, version):
    for resource in resources:
        try:
            kubernetes_validate.validate(resource, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            name = f"{resource['kind']} {resource['metadata']['name']}"
            sys.exit(f"{name}, Kubernetes {version}: {error.message} at {list(error.path)}")


def check_pods(resource):
    """What the schemas allow and a reviewer does not: rights, a writable root, a pod without probes or bounds."""
    if resource["kind"] != "Deployment":
        return
    name = resource["metadata"]["name"]
    pod = resource["spec"]["template"]["spec"]
    demand(name, pod["securityContext"]["runAsNonRoot"] is True, "runs as root")
    demand(name, pod["automountServiceAccountToken"] is False, "has a token of the API")
    demand(name, pod["enableServiceLinks"] is False, "has variables of services")
    demand(name, len(pod["topologySpreadConstraints"]) == 2, "is not spread")
    for container in pod["containers"]:
        security = container["securityContext"]
        demand(name, security["readOnlyRootFilesystem"] is True, "has a writable root")
        demand(name, security["allowPrivilegeEscalation"] is False, "may get rights")
        demand(name, security["capabilities"]["drop"] == ["ALL"], "has capabilities")
        demand(name, "memory" in container["resources"]["limits"], "has no bound of memory")
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
            demand(name, probe in container, f"has no {probe}")


def demand(name, is_met, problem):
    if not is_met:
        sys.exit(f"{name} {problem}")


def dump(resource):
    yaml.SafeDumper.add_representer(str, represent_text)
    return yaml.safe_dump(resource, sort_keys=False, width=120)


def represent_text(dumper, text):
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def compare(file, text, write):
    if write:
        file.write_text(text)
    elif not file.exists() or file.read_text() != text:
        sys.exit(f"{file} is not what the chart gives: cargo xtask packages --only charts --write-manifests")


def kustomize(manifests, default):
    """The manifests as `kubectl apply -k` puts them together."""
    command = ["kubectl", "kustomize", str(manifests)]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode != 0:
        sys.exit(f"kubectl kustomize: {built.stderr}")
    resources = [it for it in yaml.safe_load_all(built.stdout) if it]
    # The namespace stands beside the chart's.
    if len(resources) != len(default) + 1:
        sys.exit(f"kubectl kustomize gives {len(resources)} resources")
    for version in VERSIONS:
        validate(resources, version)


if __name__ == "__main__":
    write = "--write" in sys.argv
    chart, manifests, scratch = [it for it in sys.argv[1:] if it != "--write"]
    main(pathlib.Path(chart), pathlib.Path(manifests), pathlib.Path(scratch), write)
