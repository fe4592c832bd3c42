"""Two regions and two accounts on one server: the same names in each, and none sees what is another's."""

from __future__ import annotations

import io
import json
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from served import RUNTIME, Served
from support import until

NAME = "same-name"
GROUP = f"/aws/lambda/{NAME}"
SOURCE = """
import os
def handler(event, context):
    print("at {place}")
    if isinstance(event, dict) and "note" in event:
        with open(event["note"], "a") as file:
            file.write("{place}\\n")
    return {{
        "place": "{place}", "arn": context.invoked_function_arn, "region": os.environ["AWS_REGION"],
        "default": os.environ["AWS_DEFAULT_REGION"], "more": os.environ.get("MORE"),
    }}
"""


class Place(NamedTuple):
    region: str
    account: str

    def __str__(self) -> str:
        return f"{self.region}-{self.account}"

    @property
    def role(self) -> str:
        return f"arn:aws:iam::{self.account}:role/test"

    def arn(self, resource: str, service: str = "lambda") -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def client(self, server: Served, service: str = "lambda") -> Any:
        return server.client(service, region=self.region, aws_access_key_id=self.account)


PLACES = [Place(region, account) for region in ("us-east-1", "eu-west-1") for account in ("1" * 12, "2" * 12)]
here = pytest.mark.parametrize("place", PLACES, ids=str)


def archive(source: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        zipped.writestr("app.py", source)
    return out.getvalue()


def create(api: Any, place: Place, name: str = NAME) -> dict[str, Any]:
    created: dict[str, Any] = api.create_function(
        FunctionName=name, Runtime=RUNTIME, Role=place.role, Handler="app.handler",
        Code={"ZipFile": archive(SOURCE.format(place=place))},
    )  # fmt: skip
    api.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0})
    return created


def ready(api: Any) -> None:
    api.get_waiter("function_updated_v2").wait(FunctionName=NAME, WaiterConfig={"Delay": 0})


def result(api: Any, name: str = NAME, **request: Any) -> dict[str, Any]:
    response = api.invoke(FunctionName=name, **request)
    value = json.loads(response["Payload"].read())
    assert "FunctionError" not in response, value
    assert isinstance(value, dict)
    return value


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("places"))
    yield served
    assert served.stop() == 0


@pytest.fixture
def apis(server: Served) -> Iterator[dict[Place, Any]]:
    """A client of each place, and the function of the same name in each; deleted afterwards."""
    clients = {place: place.client(server) for place in PLACES}
    for place, api in clients.items():
        create(api, place)
    yield clients
    for api in clients.values():
        api.delete_function(FunctionName=NAME)


@pytest.mark.promise(87)
def test_create_get_and_list(server: Served) -> None:
    for place in PLACES:
        api = place.client(server)
        assert api.list_functions()["Functions"] == [], "what the places before it created is not seen"
        assert create(api, place)["FunctionArn"] == place.arn(f"function:{NAME}")
    for place in PLACES:
        api = place.client(server)
        got = api.get_function(FunctionName=NAME)
        assert got["Configuration"]["FunctionArn"] == place.arn(f"function:{NAME}")
        assert got["Configuration"]["Role"] == place.role
        with urllib.request.urlopen(got["Code"]["Location"]) as response:
            code = zipfile.ZipFile(io.BytesIO(response.read())).read("app.py").decode()
        assert code == SOURCE.format(place=place)
        listed = api.list_functions()["Functions"]
        assert [each["FunctionArn"] for each in listed] == [place.arn(f"function:{NAME}")]
    for place in PLACES:
        place.client(server).delete_function(FunctionName=NAME)


@pytest.mark.promise(87)
def test_invoke(apis: dict[Place, Any]) -> None:
    for place, api in apis.items():
        arn = place.arn(f"function:{NAME}")
        expected = {
            "place": str(place),
            "arn": arn,
            "region": place.region,
            "default": place.region,
            "more": None,
        }
        assert result(api) == expected
        assert result(api, arn) == expected
        assert result(api, f"{place.account}:function:{NAME}") == expected


def test_an_arn_of_another_region_or_account_finds_nothing(apis: dict[Place, Any]) -> None:
    for place, api in apis.items():
        for other in PLACES:
            if other != place:
                with pytest.raises(api.exceptions.ClientError):
                    api.get_function(FunctionName=other.arn(f"function:{NAME}"))


@pytest.mark.promise(87)
def test_events(apis: dict[Place, Any], tmp_path: Path) -> None:
    for place, api in apis.items():
        event = json.dumps({"note": str(tmp_path / str(place))})
        response = api.invoke(FunctionName=NAME, InvocationType="Event", Payload=event)
        assert response["StatusCode"] == 202
    for place in apis:
        note = tmp_path / str(place)
        until(
            lambda note=note: note.exists() and note.read_text().endswith("\n"), what=f"the event of {place}"
        )
        assert note.read_text() == f"{place}\n"


def test_update_function_configuration(apis: dict[Place, Any]) -> None:
    first = PLACES[0]
    settings = {"Environment": {"Variables": {"MORE": "here"}}, "Timeout": 9, "MemorySize": 256}
    updated = apis[first].update_function_configuration(FunctionName=NAME, **settings)
    assert updated["FunctionArn"] == first.arn(f"function:{NAME}")
    ready(apis[first])
    for place, api in apis.items():
        got = api.get_function_configuration(FunctionName=NAME)
        expected = ("here", 9, 256) if place == first else (None, 3, 128)
        assert (result(api)["more"], got["Timeout"], got["MemorySize"]) == expected


def test_versions_and_aliases(apis: dict[Place, Any]) -> None:
    """As many versions as the place's number in the list, and an alias of the last."""
    for count, (place, api) in enumerate(apis.items(), 1):
        for number in range(count):
            api.update_function_configuration(FunctionName=NAME, Description=f"{place} {number}")
            ready(api)
            published = api.publish_version(FunctionName=NAME)
            assert published["FunctionArn"] == place.arn(f"function:{NAME}:{number + 1}")
        alias = api.create_alias(FunctionName=NAME, Name="live", FunctionVersion=str(count))
        assert alias["AliasArn"] == place.arn(f"function:{NAME}:live")
    for count, (place, api) in enumerate(apis.items(), 1):
        versions = api.list_versions_by_function(FunctionName=NAME)["Versions"]
        assert [each["Version"] for each in versions] == ["$LATEST", *map(str, range(1, count + 1))]
        aliases = api.list_aliases(FunctionName=NAME)["Aliases"]
        assert [(each["AliasArn"], each["FunctionVersion"]) for each in aliases] == [
            (place.arn(f"function:{NAME}:live"), str(count))
        ]
        found = result(api, Qualifier="live")
        assert (found["place"], found["arn"]) == (str(place), place.arn(f"function:{NAME}:live"))


def test_tags(apis: dict[Place, Any]) -> None:
    for place, api in apis.items():
        api.tag_resource(Resource=place.arn(f"function:{NAME}"), Tags={"place": str(place)})
    for place, api in apis.items():
        assert api.list_tags(Resource=place.arn(f"function:{NAME}"))["Tags"] == {"place": str(place)}


def test_concurrency_and_account_settings(apis: dict[Place, Any]) -> None:
    """What is reserved in one place is taken from that place's concurrency alone."""
    whole = {place: api.get_account_settings()["AccountLimit"] for place, api in apis.items()}
    first, *others = PLACES
    apis[first].put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=7)
    apis[others[0]].put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=0)
    for place, api in apis.items():
        reserved = {first: 7, others[0]: 0}.get(place)
        assert api.get_function_concurrency(FunctionName=NAME).get("ReservedConcurrentExecutions") == reserved
        settings = api.get_account_settings()
        left = settings["AccountLimit"]["UnreservedConcurrentExecutions"]
        assert left == whole[place]["UnreservedConcurrentExecutions"] - (reserved or 0)
        assert settings["AccountUsage"]["FunctionCount"] == 1
        if reserved == 0:
            with pytest.raises(api.exceptions.TooManyRequestsException):
                api.invoke(FunctionName=NAME)
        else:
            assert result(api)["place"] == str(place)


@pytest.mark.promise(87)
def test_layers(server: Served) -> None:
    clients = {place: place.client(server) for place in PLACES}
    for place, api in clients.items():
        assert api.list_layers()["Layers"] == []
        content = {"ZipFile": archive(f"PLACE = {str(place)!r}\n")}
        published = api.publish_layer_version(LayerName=NAME, Content=content, Description=str(place))
        assert published["LayerVersionArn"] == place.arn(f"layer:{NAME}:1")
    for place, api in clients.items():
        (layer,) = api.list_layers()["Layers"]
        assert layer["LayerArn"] == place.arn(f"layer:{NAME}")
        assert layer["LatestMatchingVersion"]["Description"] == str(place)
        api.delete_layer_version(LayerName=NAME, VersionNumber=1)


def test_policies(apis: dict[Place, Any]) -> None:
    for place, api in apis.items():
        api.add_permission(
            FunctionName=NAME, StatementId=str(place), Action="lambda:InvokeFunction",
            Principal="s3.amazonaws.com", SourceAccount=place.account,
        )  # fmt: skip
    for place, api in apis.items():
        (statement,) = json.loads(api.get_policy(FunctionName=NAME)["Policy"])["Statement"]
        assert (statement["Sid"], statement["Resource"]) == (str(place), place.arn(f"function:{NAME}"))


@pytest.mark.promise(87)
def test_function_urls(apis: dict[Place, Any]) -> None:
    urls = {}
    for place, api in apis.items():
        config = api.create_function_url_config(FunctionName=NAME, AuthType="NONE")
        assert config["FunctionArn"] == place.arn(f"function:{NAME}")
        urls[place] = config["FunctionUrl"]
    assert len(set(urls.values())) == len(PLACES)
    for place, url in urls.items():
        with urllib.request.urlopen(url) as response:
            found = json.load(response)
        assert (found["place"], found["region"]) == (str(place), place.region)
        assert found["arn"] == place.arn(f"function:{NAME}")
    for place, api in apis.items():
        listed = api.list_function_url_configs(FunctionName=NAME)["FunctionUrlConfigs"]
        assert [each["FunctionUrl"] for each in listed] == [urls[place]]


def test_event_source_mappings(server: Served, apis: dict[Place, Any]) -> None:
    created = {}
    for place, api in apis.items():
        place.client(server, "sqs").create_queue(QueueName="queue")
        assert api.list_event_source_mappings()["EventSourceMappings"] == []
        queue = place.arn("queue", "sqs")
        mapping = api.create_event_source_mapping(FunctionName=NAME, EventSourceArn=queue)
        assert mapping["FunctionArn"] == place.arn(f"function:{NAME}")
        assert mapping["EventSourceMappingArn"] == place.arn(f"event-source-mapping:{mapping['UUID']}")
        created[place] = mapping["UUID"]
    for place, api in apis.items():
        (mapping,) = api.list_event_source_mappings()["EventSourceMappings"]
        assert (mapping["UUID"], mapping["EventSourceArn"]) == (created[place], place.arn("queue", "sqs"))
    for place, api in apis.items():
        other = next(uuid for where, uuid in created.items() if where != place)
        with pytest.raises(api.exceptions.ResourceNotFoundException):
            api.get_event_source_mapping(UUID=other)
    for place, api in apis.items():
        api.delete_event_source_mapping(UUID=created[place])


@pytest.mark.promise(87)
def test_logs(server: Served, apis: dict[Place, Any]) -> None:
    for api in apis.values():
        result(api)
    for place in PLACES:
        logs = place.client(server, "logs")

        def printed(logs: Any = logs) -> list[str]:
            try:
                events = logs.filter_log_events(logGroupName=GROUP, filterPattern='"at "')["events"]
            except logs.exceptions.ResourceNotFoundException:
                return []
            return [event["message"].strip() for event in events]

        until(printed, what=f"the log of {place}")
        # Other tests' invocations have logged there too, but none of another place's.
        assert set(printed()) == {f"at {place}"}
        groups = logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]
        assert [group["arn"].removesuffix(":*") for group in groups] == [
            place.arn(f"log-group:{GROUP}", "logs")
        ]


@here
def test_who_one_is(server: Served, place: Place) -> None:
    identity = place.client(server, "sts").get_caller_identity()
    assert (identity["Account"], identity["Arn"]) == (place.account, f"arn:aws:iam::{place.account}:root")


def test_delete(server: Served) -> None:
    clients = {place: place.client(server) for place in PLACES}
    for place, api in clients.items():
        create(api, place, "passing")
    for place, api in clients.items():
        api.delete_function(FunctionName="passing")
        with pytest.raises(api.exceptions.ResourceNotFoundException):
            api.invoke(FunctionName="passing")
        for other in PLACES[PLACES.index(place) + 1 :]:
            assert result(clients[other], "passing")["place"] == str(other)


@pytest.mark.promise(87)
def test_they_survive_a_restart(tmp_path: Path) -> None:
    first, then = Served(tmp_path / "state"), None
    try:
        for place in PLACES:
            api = place.client(first)
            create(api, place)
            api.publish_version(FunctionName=NAME)
            api.create_alias(FunctionName=NAME, Name="live", FunctionVersion="1")
            api.publish_layer_version(
                LayerName=NAME, Content={"ZipFile": archive(str(place))}, Description=str(place)
            )
        assert first.stop() == 0
        then = Served(tmp_path / "state")
        for place in PLACES:
            api = place.client(then)
            listed = api.list_functions()["Functions"]
            assert [each["FunctionArn"] for each in listed] == [place.arn(f"function:{NAME}")]
            found = result(api, Qualifier="live")
            assert (found["place"], found["arn"], found["region"]) == (
                str(place), place.arn(f"function:{NAME}:live"), place.region,
            )  # fmt: skip
            (layer,) = api.list_layers()["Layers"]
            assert layer["LatestMatchingVersion"]["Description"] == str(place)
        assert then.stop() == 0
    finally:
        for server in (first, then):
            if server and server.process.poll() is None:
                server.stop()


def test_without_a_place_it_is_the_servers(tmp_path: Path) -> None:
    """A key that is no account number is the server's account's; a request that is not signed, its region's."""
    served = Served(tmp_path / "state", "--region", "eu-north-1", "--account", "3" * 12)
    try:
        home = Place("eu-north-1", "3" * 12)
        create(served.client(region="eu-north-1", aws_access_key_id="AKIDEXAMPLE"), home)
        assert result(home.client(served))["arn"] == home.arn(f"function:{NAME}")
        with urllib.request.urlopen(f"{served.url}/2015-03-31/functions/") as response:
            listed = json.load(response)["Functions"]
        assert [each["FunctionArn"] for each in listed] == [home.arn(f"function:{NAME}")]
        elsewhere = served.client(region="eu-west-1", aws_access_key_id="AKIDEXAMPLE")
        assert elsewhere.list_functions()["Functions"] == []
    finally:
        assert served.stop() == 0


@pytest.mark.promise(87)
def test_with_credentials_the_account_is_the_profiles(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(
        "[one]\naws_access_key_id = AKIDONE\naws_secret_access_key = s1\naws_account_id = 111111111111\n"
        "[two]\naws_access_key_id = AKIDTWO\naws_secret_access_key = s2\naws_account_id = 222222222222\n"
        "[number]\naws_access_key_id = 444444444444\naws_secret_access_key = s4\n"
        "[neither]\naws_access_key_id = AKIDHOME\naws_secret_access_key = s3\n"
    )
    served = Served(tmp_path / "state", "--auth", str(file), "--account", "3" * 12)
    try:
        for key, secret, account in [
            ("AKIDONE", "s1", "1" * 12),
            ("AKIDTWO", "s2", "2" * 12),
            ("444444444444", "s4", "4" * 12),
            ("AKIDHOME", "s3", "3" * 12),
        ]:
            for region in ("us-east-1", "eu-west-1"):
                place = Place(region, account)
                keys = {"region": region, "aws_access_key_id": key, "aws_secret_access_key": secret}
                assert served.client("sts", **keys).get_caller_identity()["Account"] == account
                api = served.client(**keys)
                assert create(api, place)["FunctionArn"] == place.arn(f"function:{NAME}")
                assert result(api)["place"] == str(place)
                assert len(api.list_functions()["Functions"]) == 1
    finally:
        assert served.stop() == 0
