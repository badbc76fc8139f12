"""What stands between an annotator's click and a mask: looked at in turn, with what to do."""

from labelstudio_backend.diagnosis.doctor import Doctor
from labelstudio_backend.diagnosis.findings import Finding, Level
from labelstudio_backend.diagnosis.label_configs import check_label_config

__all__ = ["Doctor", "Finding", "Level", "check_label_config"]
