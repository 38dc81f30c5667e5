"""The device that all networks of this process run on: the CPU, unless another one is chosen before they are loaded.

ONNX Runtime and CTranslate2 each have devices of their own. The libraries in PyPI's usual packages run on the CPU; those for
other devices must be installed instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vatrace.errors import UsageError

CPU, AUTO = "cpu", "auto"
PROVIDERS = {
    CPU: "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""ONNX Runtime's execution providers by the names of devices."""
PACKAGES = {
    "cuda": "onnxruntime-gpu[cuda,cudnn]",
    "coreml": "onnxruntime (for macOS)",
    "directml": "onnxruntime-directml",
    "migraphx": "onnxruntime-migraphx",
    "openvino": "onnxruntime-openvino",
}
"""What to install for each, in place of onnxruntime."""
EXACT = {"cuda": {"use_tf32": "0"}}
"""Options with which values are those of the CPU up to rounding: tensor cores would round the factors to 10 bits."""
BEST = ("cuda",)
"""What `auto` tries, the best first: other devices may compute with fewer bits, so they must be named."""


@dataclass(frozen=True)
class Device:
    """A device.

    Attributes:
        kind: one of PROVIDERS.
        index: number of the device among those of its kind.
    """

    kind: str = CPU
    index: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}" if self.index else self.kind


_current = Device()


def use_device(name: str) -> tuple[Device, str]:
    """Choose the device for all networks that are loaded from now on in this process.

    Args:
        name: cpu, auto (the best one that starts), or another of PROVIDERS, with its number if there are several: cuda:1.

    Returns:
        The device, and what the user should know, or "".

    Raises:
        UsageError: if there is no such device, or it doesn't start; the message says what is available.
    """
    global _current  # noqa: PLW0603 - a process has one
    note = ""
    if name == AUTO:
        chosen, problems = Device(), []
        for kind in BEST:
            if PROVIDERS[kind] in _installed() and not (problem := _problem(Device(kind))):
                chosen = Device(kind)
                break
            if PROVIDERS[kind] in _installed():
                problems.append(f"device {kind}: {problem}; the CPU is used")
        note = "; ".join(problems)
    else:
        chosen = _parsed(name)
        problem = _problem(chosen)
        if problem:
            here = ", ".join(kind for kind, provider in PROVIDERS.items() if provider in _installed())
            raise UsageError(f"device {name}: {problem}; the installed ONNX Runtime offers {here}")
    _current = chosen
    if chosen.kind != CPU and not _is_whispers(chosen):
        note = f"device {chosen}: Whisper still runs on the CPU, because the installed CTranslate2 can't use this device"
    return chosen, note


def onnx_providers() -> list[Any]:
    """ONNX Runtime's execution providers for the chosen device; what it lacks runs on the CPU."""
    return [*([] if _current.kind == CPU else [_provider(_current)]), PROVIDERS[CPU]]


def whisper_device() -> dict[str, Any]:
    """The chosen device as CTranslate2 takes it; the CPU if it has no such device."""
    return {"device": "cuda", "device_index": _current.index} if _is_whispers(_current) else {"device": CPU}


def _parsed(name: str) -> Device:
    kind, _, index = name.partition(":")
    if kind not in PROVIDERS or (":" in name and not index.isdecimal()):
        raise UsageError(f"device {name}: must be {AUTO} or one of {', '.join(PROVIDERS)}, or with a number, such as cuda:1")
    return Device(kind, int(index or 0))


def _installed() -> list[str]:
    import onnxruntime

    return list(onnxruntime.get_available_providers())


def _provider(device: Device) -> tuple[str, dict[str, str]]:
    options = dict(EXACT.get(device.kind, {}))
    if device.index or device.kind == "cuda":
        options["device_id"] = str(device.index)
    return PROVIDERS[device.kind], options


def _problem(device: Device) -> str:
    """Why a device can't be used; "" if it can."""
    import onnxruntime

    from vatrace.weights import package_file

    if device.kind == CPU:
        return "there is only one" if device.index else ""
    if PROVIDERS[device.kind] not in _installed():
        return f"not available; install {PACKAGES[device.kind]} in place of onnxruntime"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            str(package_file("face_detector.onnx")), options, providers=[_provider(device), PROVIDERS[CPU]]
        )
    except Exception as error:  # ONNX Runtime has no public base class for what it raises
        return f"does not start ({str(error).splitlines()[0]})"
    if session.get_providers()[0] != PROVIDERS[device.kind]:  # it has fallen back to the CPU
        return "does not start; are its driver and libraries installed?"
    return ""


def _is_whispers(device: Device) -> bool:
    """Whether CTranslate2 has the device as well."""
    import ctranslate2

    return device.kind == "cuda" and ctranslate2.get_cuda_device_count() > device.index
