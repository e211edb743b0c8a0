"""``fastcolor doctor``: versions, backends, threads, caches, and what is wrong with them."""

from __future__ import annotations

import argparse
import json

from ..doctor.advice import Report, diagnose


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs, and for bug reports")


def run(args: argparse.Namespace) -> int:
    """Print the report; 0 if the CPU path works, whatever else is missing."""
    report = diagnose()
    print(json.dumps(report, indent=2) if args.json else _text(report))
    return 0 if report["works"] else 1


def _text(report: Report) -> str:
    """The report for people, problems last."""
    package_lines = []
    for name, package in report["packages"].items():
        missing = f"not installed (needs {package['needs']}): pip install 'fastcolor[{package['extra']}]'"
        package_lines.append((name, package["version"] or missing))
    cpu, threads, cuda = report["cpu"], report["threads"], report["cuda"]
    sections = {
        "Versions": [
            ("fastcolor", f"{report['fastcolor']['version']} in {report['fastcolor']['folder']}"),
            ("python", f"{report['python']['version']}, {report['python']['executable']}"),
            ("platform", report["python"]["platform"]),
            *package_lines,
        ],
        "CPU": [
            ("model", f"{cpu['model']} ({cpu['llvm_name']})"),
            ("features", " ".join(cpu["features"]) or "none that matter"),
            ("cores", f"{cpu['usable']} usable of {cpu['cores']}"),
            ("threads", ", ".join(f"{name} {count}" for name, count in threads.items())),
            ("environment", ", ".join(f"{k}={v}" for k, v in report["environment"].items()) or "nothing set"),
            ("kernel cache", report["kernel_cache"]["folder"] or "none: kernels compile anew in each process"),
        ],
        "Backends": [
            (name, "available" if b["available"] else f"not available: {b['reason']}")
            for name, b in report["backends"].items()
        ],
        "CUDA": [
            ("torch", f"CUDA {cuda['torch']}" if cuda["torch"] else "no CUDA"),
            ("cupy", ", ".join(cuda["cupy"]) or "not installed"),
            *_cupy_rows(cuda),
            *(("device", device) for device in cuda["devices"] or ["none"]),
        ],
        "In the package": list(report["data"].items()),
        "Check": [("CPU path", report["check"]), *report["gpu_check"].items()],
    }
    lines = []
    for title, rows in sections.items():
        lines += [title, *(f"  {name:<18} {value}" for name, value in rows), ""]
    problems = report["problems"]
    lines += ["Problems", *(f"  - {problem}" for problem in problems)] if problems else ["No problems found."]
    return "\n".join(lines)


def _cupy_rows(cuda: Report) -> list[tuple[str, str]]:
    """What only CuPy can tell."""
    if not cuda["cupy"]:
        return []
    versions = f"CUDA {cuda['cupy_cuda'] or 'unknown'}, compiler (NVRTC) {cuda['nvrtc'] or 'not found'}"
    return [("cupy runs", versions), ("driver", f"for CUDA {cuda['driver']}" if cuda["driver"] else "none")]
