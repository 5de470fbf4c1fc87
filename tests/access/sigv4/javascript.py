"""A request and three events, the last of them empty, as the signer of AWS's SDK for JavaScript signs them
(@smithy/signature-v4 5.7.5) at 2026-11-22T10:15:00.250Z, 01.250 and 01.900."""

HEADERS = (
    (":authority", "localhost:8443"),
    ("content-type", "application/vnd.amazon.eventstream"),
    ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-EVENTS"),
    ("amz-sdk-invocation-id", "0b64d17a-2f0f-4f21-9d8f-8b5a33c1e9f0"),
    ("amz-sdk-request", "attempt=1; max=1"),
    ("x-amz-user-agent", "tests/node"),
    ("user-agent", "tests/node"),
    ("x-amzn-sagemaker-target-variant", "blue"),
    ("x-amz-date", "20261122T101500Z"),
    ("x-amz-security-token", "a-session-token"),
    (
        "authorization",
        "AWS4-HMAC-SHA256 Credential=ASIDOFATEST/20261122/us-east-1/sagemaker/aws4_request, "
        "SignedHeaders=:authority;amz-sdk-invocation-id;amz-sdk-request;content-type;x-amz-content-sha256;x-amz-date;"
        "x-amz-security-token;x-amz-user-agent;x-amzn-sagemaker-target-variant, "
        "Signature=b84cd67137a8b5a74b9d3fd68980697309e160dc0085e6a968d066992feeeb67",
    ),
)

EVENTS = (
    bytes.fromhex(
        "00000080000000433b117fd1053a6461746508000001a202c0819a103a6368756e6b2d7369676e61747572650600201b"
        "710cb2de6a3ab696b1051c66d7242dfdc3afc4b44f7d8352cc9e3bcfad8c3a0000002d0000001aa111cda60b3a657665"
        "6e742d7479706507000b5061796c6f6164506172746f6e653a692d4a8f983466"
    ),
    bytes.fromhex(
        "00000080000000433b117fd1053a6461746508000001a202c08582103a6368756e6b2d7369676e617475726506002023"
        "6182f8248b5ffb77dcb65371efe2a38efe7bc621a416fc1623c6e1ac8c52770000002d0000001aa111cda60b3a657665"
        "6e742d7479706507000b5061796c6f61645061727474776f51cf21dd1cb13832"
    ),
    bytes.fromhex(
        "0000005300000043f5447a58053a6461746508000001a202c0880c103a6368756e6b2d7369676e6174757265060020b1"
        "f65173edb80d0b9e6056493c3f05d892cc32b04fb44af0be5c7faee1509fe6f7373acb"
    ),
)
