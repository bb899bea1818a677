"""What testssl.sh says of a listener under the default policy: nothing above LOW."""

from __future__ import annotations

import datetime
import json
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.testing import require_program

CONNECTION = ("--protocols", "--server-preference")
EVERYTHING = (*CONNECTION, "--std", "--pfs", "--server-defaults", "--headers", "--vulnerable")
ABOVE_LOW = frozenset(("MEDIUM", "HIGH", "CRITICAL"))
"""`WARN` says that testssl could not find out, as on a busy machine."""


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A certificate as an authority of the internet issues them, with a place where it could be revoked."""
    folder = tmp_path_factory.mktemp("issued")
    now = datetime.datetime.now(datetime.UTC)
    ours, theirs = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root, host = name("Root"), name("a.test")

    def signed(subject: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType) -> bytes:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(root).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=90))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(theirs, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    place = x509.DistributionPoint([x509.UniformResourceIdentifier("http://crl.test/r.crl")], None, None, None)
    files = {"cert": folder / "cert.pem", "key": folder / "key.pem", "ca": folder / "ca.pem"}
    files["ca"].write_bytes(signed(root, theirs, x509.BasicConstraints(ca=True, path_length=None)))
    names = x509.SubjectAlternativeName([x509.DNSName("a.test")])
    usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH])
    files["cert"].write_bytes(signed(host, ours, names, usage, x509.CRLDistributionPoints([place])))
    pem, pkcs8, bare = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files["key"].write_bytes(ours.private_bytes(pem, pkcs8, bare))
    return files


@pytest.fixture(scope="module")
def graded(module_gateway, module_origin, issued):
    pair = {"cert": issued["cert"], "key": issued["key"]}
    return module_gateway(
        endpoints=[module_origin()],
        plugins=[{"use": "tls", "hsts": {"max_age": "365d"}}],
        listeners=[{"bind": "127.0.0.1:0", "tls": pair}, {"bind": "127.0.0.1:0", "tls": {"certificates": [pair]}}],
    )


DIRECT, EDGE = range(2)


def findings(port: int, ca: Path, report: Path, sections: tuple[str, ...]) -> dict[str, str]:
    """What testssl finds above LOW, by its own names."""
    command = [require_program("testssl"), "--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1"]
    command += ["--add-ca", str(ca), "--jsonfile", str(report), *sections, f"https://a.test:{port}"]
    subprocess.run(command, capture_output=True, timeout=250, check=False, stdin=subprocess.DEVNULL)
    found = json.loads(report.read_text())
    assert {"TLS1_2", "TLS1_3", "cipher_order"} <= {each["id"] for each in found}
    return {each["id"]: each["finding"] for each in found if each["severity"] in ABOVE_LOW}


def test_at_the_edge_there_is_nothing_above_low(graded, issued, tmp_path):
    found = findings(graded.listening[EDGE].port, issued["ca"], tmp_path / "report.json", EVERYTHING)
    found.pop("security_headers", None)  # these are the application's, or another plugin's
    assert found == {}


def test_the_server_core_lets_clients_choose_among_good_ciphers_and_that_is_all(graded, issued, tmp_path):
    """Mozilla advises it, and rustls knows no cipher that is not good; testssl 3.0 thinks otherwise."""
    found = findings(graded.listening[DIRECT].port, issued["ca"], tmp_path / "report.json", CONNECTION)
    assert found == {"cipher_order": "NOT a cipher order configured"}
