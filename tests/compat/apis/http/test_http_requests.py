"""Requests to HTTP APIs: routes, events, responses, stages, CORS, and who may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from apis import SOURCE, allow, function, send
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from delivered import ACCOUNT, refused
from joserfc import jwt
from joserfc.jwk import RSAKey
from served import REGION, Served

from .http_apis import Provider, made, routed

ERROR = b'{"message":"Internal Server Error"}'


@pytest.mark.promise(197)
def test_a_quick_create(client: Any, server: Served, echo: str) -> None:
    api = client.create_api(Name="quick", ProtocolType="HTTP", Target=echo)
    event = send(server, api["ApiId"], "/my/path?a=1&a=2", headers={"Cookie": "c=1; d=2", "X-A": "b"}).json
    assert (event["version"], event["routeKey"], event["rawPath"]) == ("2.0", "$default", "/my/path")
    assert (event["rawQueryString"], event["queryStringParameters"]) == ("a=1&a=2", {"a": "1,2"})
    assert (
        event["cookies"] == ["c=1", "d=2"]
        and event["headers"]["x-a"] == "b"
        and "cookie" not in event["headers"]
    )
    assert event["requestContext"]["apiId"] == api["ApiId"] and "authorizer" not in event["requestContext"]
    assert {"body", "pathParameters", "stageVariables"} & set(event) == set()
    made = client.get_routes(ApiId=api["ApiId"])["Items"] + client.get_stages(ApiId=api["ApiId"])["Items"]
    assert all(each["ApiGatewayManaged"] for each in made) and len(made) == 2


@pytest.mark.promise(197)
def test_the_most_specific_route(client: Any, server: Served, echo: str) -> None:
    keys = ("GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}", "ANY /{proxy+}", "$default")
    api_id = made(client, echo, *keys)
    table = {
        ("GET", "/pets/dog/1"): "GET /pets/dog/1", ("GET", "/pets/dog/2"): "GET /pets/dog/{id}",
        ("GET", "/pets/cat/1"): "GET /pets/{proxy+}", ("POST", "/test/5"): "ANY /{proxy+}", ("GET", "/"): "$default",
    }  # fmt: skip
    for (method, path), key in table.items():
        event = send(server, api_id, path, method).json
        assert event["routeKey"] == event["requestContext"]["routeKey"] == key
    assert send(server, api_id, "/pets/dog/a%20b").json["pathParameters"] == {"id": "a b"}
    assert send(server, api_id, "/pets/x/y%2Fz").json["pathParameters"] == {"proxy": "x/y/z"}
    client.delete_route(ApiId=api_id, RouteId=client.get_routes(ApiId=api_id)["Items"][-1]["RouteId"])
    reply = send(server, made(client, echo, "GET /x"), "/y")
    assert (reply.status, reply.json) == (404, {"message": "Not Found"})
    assert send(server, "unknown", "/").json == {"message": "Not Found"}


@pytest.mark.promise(197)
@pytest.mark.parametrize(
    ("version", "asked", "status", "body"),
    [
        ("2.0", "text", 200, b"hello"), ("2.0", "object", 200, b'{"a": 1}'), ("2.0", "list", 200, b"[1]"),
        ("2.0", "empty", 204, b""), ("2.0", "cookies", 201, b"made"), ("2.0", "binary", 200, b"\0\xff\x80"),
        ("1.0", "many", 200, b"b"), ("1.0", "binary", 200, b"\0\xff\x80"), ("1.0", "empty", 204, b""),
        ("2.0", "bad status", 500, ERROR),
        ("2.0", "bad body", 500, ERROR),
        ("1.0", "text", 500, ERROR),
        ("2.0", "fail", 500, ERROR),
        ("1.0", "fail", 500, ERROR),
        ("2.0", "late", 503, b'{"message":"Service Unavailable"}'),
    ],
)  # fmt: skip
def test_what_a_reply_means(
    client: Any, server: Served, echo: str, version: str, asked: str, status: int, body: bytes
) -> None:
    api_id = made(client, echo, version=version)
    integration = routed(client, api_id, echo, "$default", version=version)
    if asked == "late":
        client.update_integration(ApiId=api_id, IntegrationId=integration, TimeoutInMillis=200)
    reply = send(server, api_id, f"/?reply={asked.replace(' ', '%20')}")
    assert (reply.status, reply.body.replace(b" ", b"")) == (status, body.replace(b" ", b""))
    assert reply.header("apigw-requestid")
    if asked == "cookies":
        assert [value for name, value in reply.headers if name == "set-cookie"] == ["a=1", "b=2"]
    if asked == "many":
        assert [value for name, value in reply.headers if name == "x-a"] == ["1", "2"]


@pytest.mark.promise(197)
def test_bodies_and_format_1(client: Any, server: Served, echo: str) -> None:
    api_id = made(client, echo, "POST /x/{id}", version="1.0")
    text = {"Content-Type": "application/json"}
    event = send(server, api_id, "/x/1?a=1&a=2", "POST", text, b'{"a": 1}').json
    assert (event["version"], event["resource"], event["path"]) == ("1.0", "/x/{id}", "/x/1")
    assert (event["body"], event["isBase64Encoded"], event["pathParameters"]) == (
        '{"a": 1}',
        False,
        {"id": "1"},
    )
    assert event["queryStringParameters"] == {"a": "2"}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"]}
    assert event["headers"]["Content-Type"] == "application/json" and event["stageVariables"] is None
    event = send(server, api_id, "/x/1", "POST", {"Content-Type": "image/png"}, b"\0\xff").json
    assert (event["body"], event["isBase64Encoded"]) == ("AP8=", True)


@pytest.mark.promise(197)
def test_a_function_that_does_not_allow_it(client: Any, server: Served, folder: Path) -> None:
    arn = function(server, "shy", SOURCE, folder, allowed=False)
    api_id = made(client, arn, "GET /a/{id}", "$default")
    failed = (500, {"message": "Internal Server Error"})
    assert ((reply := send(server, api_id, "/a/1")).status, reply.json) == failed
    allow(server, "shy", f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api_id}/*/GET/a/*")
    assert send(server, api_id, "/a/1").status == 200
    assert send(server, api_id, "/").status == 500
    allow(server, "shy", f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api_id}/$default/$default")
    assert send(server, api_id, "/").status == 200


@pytest.mark.promise(198)
def test_stages_and_deployments(client: Any, server: Served, echo: str) -> None:
    api_id = client.create_api(Name="staged", ProtocolType="HTTP")["ApiId"]
    integration = routed(client, api_id, echo.replace(":echo", ":${stageVariables.fn}"), "GET /x")
    first = client.create_deployment(ApiId=api_id)["DeploymentId"]
    client.create_stage(ApiId=api_id, StageName="v1", DeploymentId=first, StageVariables={"fn": "echo"})
    event = send(server, api_id, "/v1/x").json
    assert (event["rawPath"], event["requestContext"]["stage"]) == ("/v1/x", "v1")
    assert event["stageVariables"] == {"fn": "echo"}
    client.create_route(ApiId=api_id, RouteKey="GET /y", Target=f"integrations/{integration}")
    assert send(server, api_id, "/v1/y").status == 404
    second = client.create_deployment(ApiId=api_id, StageName="v1")["DeploymentId"]
    assert send(server, api_id, "/v1/y").status == 200
    client.update_stage(ApiId=api_id, StageName="v1", DeploymentId=first)
    assert send(server, api_id, "/v1/y").status == 404
    assert refused(client.delete_deployment, ApiId=api_id, DeploymentId=first)[0] == "BadRequestException"
    client.delete_deployment(ApiId=api_id, DeploymentId=second)
    client.update_stage(ApiId=api_id, StageName="v1", AutoDeploy=True)
    assert send(server, api_id, "/v1/y").status == 200
    stage = client.update_stage(ApiId=api_id, StageName="v1", AutoDeploy=False)
    assert "Successfully deployed stage" in stage["LastDeploymentStatusMessage"]
    client.create_route(ApiId=api_id, RouteKey="GET /z", Target=f"integrations/{integration}")
    assert (send(server, api_id, "/v1/y").status, send(server, api_id, "/v1/z").status) == (200, 404)
    assert send(server, api_id, "/x").status == 404  # there is no stage $default
    client.delete_stage(ApiId=api_id, StageName="v1")
    assert send(server, api_id, "/v1/x").status == 404


@pytest.mark.promise(199)
def test_cors(client: Any, server: Served, echo: str) -> None:
    cors = {"AllowOrigins": ["https://a.example"], "AllowMethods": ["GET"], "AllowHeaders": ["x-a"], "MaxAge": 9,
            "AllowCredentials": True, "ExposeHeaders": ["x-b"]}  # fmt: skip
    api_id = made(client, echo, "GET /x", CorsConfiguration=cors)
    asks = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    reply = send(server, api_id, "/x", "OPTIONS", asks)
    assert reply.status == 204 and reply.header("access-control-allow-origin") == "https://a.example"
    assert (
        reply.header("access-control-allow-methods") == "GET"
        and reply.header("access-control-max-age") == "9"
    )
    reply = send(server, api_id, "/x", "OPTIONS", {**asks, "Origin": "https://b.example"})
    assert reply.status == 204 and reply.header("access-control-allow-origin") is None
    reply = send(
        server, api_id, "/x", headers={"Origin": "https://a.example", "Sec-Fetch-Site": "cross-site"}
    )
    assert reply.status == 200 and reply.header("access-control-expose-headers") == "x-b"
    assert reply.header("access-control-allow-credentials") == "true"


@pytest.mark.promise(197)
def test_an_http_proxy(client: Any, server: Served, provider: str) -> None:
    api_id = made(client, f"{provider}/base/{{proxy}}", "ANY /{proxy+}", version="1.0")
    reply = send(server, api_id, "/a/b%20c?d=e", "POST", {"X-A": "1"}, b"body")
    got = reply.json
    assert (reply.status, reply.header("x-backend")) == (202, "yes")
    assert (got["method"], got["path"], got["body"]) == ("POST", "/base/a/b%20c?d=e", "body")
    headers = {name.lower(): value for name, value in got["headers"].items()}
    assert headers["x-a"] == "1" and headers["host"] == provider.removeprefix("http://")
    assert "AmazonAPIGateway" in headers["via"] and api_id in headers["forwarded"]
    gone = made(client, "http://127.0.0.1:9/", "$default", version="1.0")
    assert send(server, gone, "/").status == 503


# Who may.


@pytest.mark.promise(200)
def test_a_lambda_authorizer_with_simple_responses(
    client: Any, server: Served, echo: str, decider: str
) -> None:
    api_id = made(client, echo)
    id = client.create_authorizer(
        ApiId=api_id, Name="z", AuthorizerType="REQUEST", AuthorizerUri=decider, EnableSimpleResponses=True,
        IdentitySource=["$request.header.X-Token"], AuthorizerPayloadFormatVersion="2.0",
    )["AuthorizerId"]  # fmt: skip
    routed(client, api_id, echo, "GET /x/{id}", AuthorizationType="CUSTOM", AuthorizerId=id)

    def asked(token: str) -> tuple[int, Any]:
        reply = send(server, api_id, "/x/1", headers={"X-Token": token} if token else {})
        return reply.status, reply.json

    status, event = asked("yes")
    seen = event["requestContext"]["authorizer"]["lambda"]
    assert (status, seen["who"], seen["n"]) == (200, "me", 1)
    inner = seen["event"]
    assert (inner["version"], inner["type"], inner["identitySource"]) == ("2.0", "REQUEST", ["yes"])
    assert inner["routeArn"] == f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api_id}/$default/GET/x/1"
    assert inner["pathParameters"] == {"id": "1"}
    assert asked("yes")[1]["requestContext"]["authorizer"]["lambda"]["id"] == seen["id"]  # kept
    client.reset_authorizers_cache(ApiId=api_id, StageName="$default")
    assert asked("yes")[1]["requestContext"]["authorizer"]["lambda"]["id"] != seen["id"]
    assert asked("no") == (403, {"message": "Forbidden"})
    assert asked("") == asked("unknown") == (401, {"message": "Unauthorized"})
    assert asked("broken") == asked("none") == (500, {"message": "Internal Server Error"})


@pytest.mark.promise(200)
def test_a_lambda_authorizer_with_policies(client: Any, server: Served, echo: str, decider: str) -> None:
    api_id = made(client, echo)
    id = client.create_authorizer(
        ApiId=api_id, Name="z", AuthorizerType="REQUEST", AuthorizerUri=decider,
        IdentitySource=["$request.header.X-Token"], AuthorizerPayloadFormatVersion="1.0",
    )["AuthorizerId"]  # fmt: skip
    routed(client, api_id, echo, "GET /x", AuthorizationType="CUSTOM", AuthorizerId=id, version="1.0")
    event = send(server, api_id, "/x", headers={"X-Token": "yes"}).json
    assert event["requestContext"]["authorizer"] == {"n": 1, "principalId": "me"}
    assert send(server, api_id, "/x", headers={"X-Token": "no"}).status == 403


@pytest.mark.promise(200)
def test_a_jwt_authorizer(client: Any, server: Served, echo: str, provider: str) -> None:
    api_id = made(client, echo)
    id = client.create_authorizer(
        ApiId=api_id, Name="j", AuthorizerType="JWT", IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Issuer": provider, "Audience": ["me"]},
    )["AuthorizerId"]  # fmt: skip
    routed(
        client, api_id, echo, "GET /x", AuthorizationType="JWT", AuthorizerId=id, AuthorizationScopes=["read"]
    )
    right: dict[str, Any] = {
        "iss": provider,
        "aud": "me",
        "exp": 4_000_000_000,
        "scope": "read write",
        "sub": "s",
    }
    right["groups"] = ["a", "b"]

    def asked(key: Any = Provider.key, **claims: Any) -> Any:
        token = jwt.encode({"alg": "RS256", "kid": "k1"}, {**right, **claims}, key)
        return send(server, api_id, "/x", headers={"Authorization": f"Bearer {token}"})

    found = asked().json["requestContext"]["authorizer"]["jwt"]
    assert found["scopes"] == ["read"] and found["claims"]["sub"] == "s"
    assert (found["claims"]["groups"], found["claims"]["exp"]) == ("[a b]", "4000000000")
    for wrong in ({"exp": 1}, {"aud": "you"}, {"iss": "http://elsewhere"}, {"nbf": 4_000_000_000}):
        reply = asked(**wrong)
        assert (reply.status, reply.json) == (401, {"message": "Unauthorized"})
        assert 'error="invalid_token"' in (reply.header("www-authenticate") or "")
    assert asked(RSAKey.generate_key(2048, parameters={"kid": "k1"})).status == 401
    assert (asked(scope="write").status, asked(aud=None, client_id="me").status) == (403, 401)
    assert send(server, api_id, "/x").status == 401
    assert send(server, api_id, "/x", headers={"Authorization": "Bearer x.y.z"}).status == 401


@pytest.mark.promise(200)
def test_a_route_that_needs_a_signature(client: Any, server: Served, echo: str) -> None:
    api_id = made(client, echo)
    routed(client, api_id, echo, "GET /x", AuthorizationType="AWS_IAM")
    assert (reply := send(server, api_id, "/x")).status == 403 and reply.json == {"message": "Forbidden"}
    request = AWSRequest("GET", f"http://{api_id}.execute-api.{REGION}.localhost/x")
    SigV4Auth(Credentials("test", "test"), "execute-api", REGION).add_auth(request)
    event = send(server, api_id, "/x", headers=dict(request.headers)).json
    assert event["requestContext"]["authorizer"]["iam"]["accountId"] == ACCOUNT


@pytest.mark.promise(208)
def test_the_door(tmp_path: Path) -> None:
    """Where requests must be signed: only who has the key configures an API or calls a route with AWS_IAM; pages of
    other sites may call an API, and nothing else."""
    credentials = tmp_path / "credentials"
    credentials.write_text("[a]\naws_access_key_id=test\naws_secret_access_key=test\n")
    server = Served(tmp_path / "state", "--auth", str(credentials))
    try:
        arn = function(server, "f", SOURCE, tmp_path)
        client = server.client("apigatewayv2")
        api_id = made(client, arn, "GET /open")
        routed(client, api_id, arn, "GET /signed", AuthorizationType="AWS_IAM")
        page = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert send(server, api_id, "/open", headers=page).status == 200

        def signed(secret: str, service: str) -> int:
            request = AWSRequest("GET", f"http://{api_id}.execute-api.{REGION}.localhost/signed")
            request.headers["Host"] = f"{api_id}.execute-api.{REGION}.localhost"
            SigV4Auth(Credentials("test", secret), service, REGION).add_auth(request)
            return send(server, api_id, "/signed", headers=dict(request.headers)).status

        assert signed("test", "execute-api") == 200
        assert {signed("wrong", "execute-api"), signed("test", "lambda")} == {403}
        assert send(server, api_id, "/signed").json == {"message": "Forbidden"}
        for path in ("/v2/apis", "/restapis", f"/v2/apis/{api_id}", "/_aws/execute-api/../../v2/apis"):
            assert send(server, "127.0.0.1", path, headers={"Host": "127.0.0.1"}).status in (403, 404), path
        with pytest.raises(ClientError):
            server.client("apigatewayv2", aws_secret_access_key="wrong").get_apis()
    finally:
        server.stop()
