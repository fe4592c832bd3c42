"""Amazon API Gateway as a service of the endpoint: two models that share a name, told apart by their paths."""

from __future__ import annotations

import re
from collections.abc import Callable

from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.model import Model
from ...aws.names import Place
from ...aws.service import Access, Caller, Handler, ModelService, Service
from ...aws.validate import Wording
from ...durable.changes import Changes
from ...durable.state import States
from ..apigatewayv2.apis import ApiOperations
from ..apigatewayv2.authorizers import AuthorizerOperations
from ..apigatewayv2.catalog import Catalog
from ..apigatewayv2.integrations import IntegrationOperations
from ..apigatewayv2.routes import RouteOperations
from ..apigatewayv2.stages import StageOperations
from .authorizers import AuthorizerOperations as RestAuthorizerOperations
from .catalog import Catalog as RestCatalog
from .gateway_responses import GatewayResponseOperations
from .keys import KeyOperations
from .resources import ResourceOperations
from .rest_apis import RestApiOperations
from .stages import StageOperations as RestStageOperations

BODY_BYTES = 7 << 20  # a document of 6 MB, AWS's limit, in its request
_V2 = "/v2/"
_WORDING = Wording(code="BadRequestException")


class ApiGateway(Service):
    """Every region and account's. Belongs to one event loop; call `aclose`."""

    name = signing_name = "apigateway"
    body_bytes = BODY_BYTES
    unsigned_paths = re.compile(
        r"/v2/(?:apis|tags|domainnames|vpclinks|portal\w*)(?:/|\Z)|/(?:restapis|apikeys|usageplans)(?:/|\Z)",
        re.ASCII,
    )

    def __init__(self, states: States, endpoint: Callable[[Place, str], str]) -> None:
        """endpoint: an API's URL, by its place and id."""
        self._changes = Changes("apigateway")
        http = Catalog(states, self._changes)
        stages = StageOperations(http)
        self.resets = stages.resets
        owners = (
            ApiOperations(http, endpoint), RouteOperations(http), IntegrationOperations(http), stages,
            AuthorizerOperations(http),
        )  # fmt: skip
        self._http = ModelService(Model.load("apigatewayv2", _WORDING), _handlers(*owners))
        rest, model = RestCatalog(states, self._changes), Model.load("apigateway", _WORDING)
        self._rest = ModelService(
            model,
            _handlers(
                RestApiOperations(rest, model), ResourceOperations(rest, model), KeyOperations(rest, model),
                RestAuthorizerOperations(rest, model), RestStageOperations(rest, model, self.resets),
                GatewayResponseOperations(rest, model),
            ),
        )  # fmt: skip

    async def aclose(self) -> None:
        self._changes.close()

    def _of(self, request: Request) -> ModelService:
        return self._http if request.path.startswith(_V2) else self._rest

    def access(self, request: Request) -> Access:
        return self._of(request).access(request)

    async def call(self, request: Request, caller: Caller) -> Response:
        return await self._of(request).call(request, caller)

    def error(self, request: Request, fault: Fault) -> Response:
        return self._of(request).error(request, fault)

    def operation(self, request: Request) -> str:
        return self._of(request).operation(request)


def _handlers(*owners: object) -> dict[str, Handler]:
    """The owners' public methods, by the operations that they are."""
    return {
        name.title().replace("_", ""): getattr(owner, name)
        for owner in owners
        for name, member in vars(type(owner)).items()
        if callable(member) and not name.startswith("_")
    }
