"""Whether an SBOM is what CycloneDX's own schema says."""

import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

with open(sys.argv[1], encoding="utf-8") as file:
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(file.read())
print("valid" if error is None else f"no CycloneDX 1.6: {error}")
