import pytest

from parley.aws.address import EndpointAddress, is_sagemaker, query_string


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("sagemaker://my-endpoint", EndpointAddress("my-endpoint")),
        ("sagemaker://My-Endpoint/", EndpointAddress("My-Endpoint")),
        (
            "sagemaker://x?variant=AllTraffic&region=us-gov-west-1&path=v1/realtime",
            EndpointAddress("x", "AllTraffic", "us-gov-west-1", "v1/realtime"),
        ),
        ("sagemaker://x?path=v1%2Frealtime", EndpointAddress("x", path="v1/realtime")),
    ],
)
def test_a_url_names_an_endpoint(url: str, address: EndpointAddress) -> None:
    assert EndpointAddress.parse(url) == address
    assert EndpointAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sagemaker:", "name of a SageMaker endpoint"),
        ("sagemaker://", "name of a SageMaker endpoint"),
        ("wss://x", "not one of a SageMaker endpoint"),
        ("sagemaker://[x", "not one of a SageMaker endpoint"),
        ("sagemaker://x/v1/realtime", "path goes into"),
        ("sagemaker://x#part", "not one of a SageMaker endpoint"),
        ("sagemaker://me:secret@x", "credentials and a port do not"),
        ("sagemaker://x:8443", "credentials and a port do not"),
        ("sagemaker://under_score", "letters, digits and hyphens"),
        ("sagemaker://" + "x" * 64, "up to 63"),
        ("sagemaker://x?regoin=us-east-1", "variant, region, path"),
        ("sagemaker://x?region=us-east-1&region=us-east-2", "each once"),
        ("sagemaker://x?region", "not one of a SageMaker endpoint"),
        ("sagemaker://x?variant=", "`variant` is"),
        ("sagemaker://x?region=evil.example.com/", "`region` is"),
        ("sagemaker://x?path=/v1/realtime", "no slash at its beginning"),
        ("sagemaker://x?path=" + "x" * 101, "`path` is"),
    ],
)
def test_what_names_none_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        EndpointAddress.parse(url)
    assert "secret" not in str(caught.value)
    assert "evil" not in str(caught.value)


def test_a_scheme_is_known_however_it_is_written() -> None:
    assert is_sagemaker(" SageMaker://x")
    assert not is_sagemaker("ws://sagemaker:80")


def test_a_query_is_one_that_sagemaker_takes() -> None:
    assert query_string({"empty_deltas": "true", "resume": "1"}) == "empty_deltas=true&resume=1"
    assert query_string({}) == ""


@pytest.mark.parametrize("values", [{"a": ""}, {"a": "x+y"}, {"": "x"}, {"a": "x" * 2_048}])
def test_a_query_that_it_does_not_take_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="SageMaker takes a query"):
        query_string(values)
