"""Who may sign artifacts: Ed25519 keys (RFC 8032), private where models are trained, public where they are served."""

import base64
import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from ai_platform.errors import ArtifactRefused


class Signer:
    """Signs manifests with one private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.key_id = _key_id(key.public_key())

    def sign(self, manifest: bytes) -> bytes:
        """One line, `ed25519 KEY-ID BASE64`, over the manifest's exact bytes."""
        signature = base64.b64encode(self._key.sign(manifest)).decode()
        return f"ed25519 {self.key_id} {signature}\n".encode()


def signer(private_key_file: Path, trusted_keys_dir: Path) -> Signer:
    """The signer of a private key file; at first use a pair is made, and its public half is trusted.

    Args:
        private_key_file: PEM (PKCS 8), made with mode 0600.
        trusted_keys_dir: gets `KEY-ID.pub` when the pair is made here.

    Raises:
        ArtifactRefused: the file holds something else.
    """
    if not private_key_file.exists():
        _make_pair(private_key_file, trusted_keys_dir)
    key = load_pem_private_key(private_key_file.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ArtifactRefused(f"{private_key_file.name} is not an Ed25519 private key")
    return Signer(key)


def verify(manifest: bytes, signature: bytes, trusted_keys_dir: Path) -> str:
    """Check that a trusted key signed these bytes.

    Returns:
        The key's id.

    Raises:
        ArtifactRefused: no signature, an unknown signer, or another document was signed.
    """
    try:
        algorithm, key_id, encoded = signature.decode("ascii").split()
        raw = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise ArtifactRefused("the manifest's signature is missing or malformed") from error
    public = _trusted(trusted_keys_dir).get(key_id) if algorithm == "ed25519" else None
    if public is None:
        raise ArtifactRefused("the manifest is signed by a key that is not trusted here")
    try:
        public.verify(raw, manifest)
    except InvalidSignature:
        raise ArtifactRefused("the manifest's signature does not match the manifest") from None
    return key_id


def _trusted(folder: Path) -> dict[str, Ed25519PublicKey]:
    keys = {}
    for path in sorted(folder.glob("*.pub")):
        key = load_pem_public_key(path.read_bytes())
        if isinstance(key, Ed25519PublicKey):
            keys[_key_id(key)] = key
    return keys


def _key_id(key: Ed25519PublicKey) -> str:
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def _make_pair(private_key_file: Path, trusted_keys_dir: Path) -> None:
    key = Ed25519PrivateKey.generate()
    private_key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    trusted_keys_dir.mkdir(parents=True, exist_ok=True, mode=0o755)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # Written whole under another name, then linked: of two makers at once, one wins and the other uses its key.
    draft = private_key_file.with_name(f".{private_key_file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, private_key_file)
    except FileExistsError:
        return
    finally:
        draft.unlink()
    public = key.public_key()
    pub = trusted_keys_dir / f"{_key_id(public)}.pub"
    pub.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
