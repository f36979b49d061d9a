"""Signs tokens for the test's identity provider, with an RSA key that it makes at its start.

Prints the public key as a JWK set, then for each line of claims (JSON) on standard input the token.
"""

import json
import sys

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

HEADER = {"alg": "RS256", "kid": "1"}


def main() -> None:
    key = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})
    print(json.dumps(KeySet([key]).as_dict(private=False)), flush=True)
    for line in sys.stdin:
        print(jwt.encode(HEADER, json.loads(line), key), flush=True)


main()
