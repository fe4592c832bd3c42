"""Amazon API Gateway as a service of the endpoint: two models that share a name, told apart by their paths."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property

from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.model import Model
from ...aws.names import Place
from ...aws.service import Access, Caller, Handler, ModelService, Service, operations_of
from ...aws.validate import Wording
from ...durable.changes import Changes
from ...durable.state import States
from ..apigatewayv2.apis import ApiOperations
from ..apigatewayv2.authorizers import AuthorizerOperations
from ..apigatewayv2.catalog import Catalog
from ..apigatewayv2.integrations import IntegrationOperations
from ..apigatewayv2.responses import ResponseOperations
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

    def __init__(self, states: States, host: Callable[[Place, str], str]) -> None:
        """host: an API's, by its place and id."""
        # By API and stage, how often its authorizers' cache was emptied.
        self.resets: dict[tuple[str, str], int] = {}
        self._changes = Changes("apigateway")
        self._states = states
        self._host = host

    @cached_property
    def _http(self) -> ModelService:
        """Made when it is first asked for, as the other: most servers have no APIs, and should start quickly."""
        catalog = Catalog(self._states, self._changes)
        return _service(
            Model.load("apigatewayv2", _WORDING),
            ApiOperations(catalog, self._host), RouteOperations(catalog), IntegrationOperations(catalog),
            StageOperations(catalog, self.resets), AuthorizerOperations(catalog), ResponseOperations(catalog),
        )  # fmt: skip

    @cached_property
    def _rest(self) -> ModelService:
        catalog, model = RestCatalog(self._states, self._changes), Model.load("apigateway", _WORDING)
        return _service(
            model,
            RestApiOperations(catalog, model), ResourceOperations(catalog, model), KeyOperations(catalog, model),
            RestAuthorizerOperations(catalog, model), RestStageOperations(catalog, model, self.resets),
            GatewayResponseOperations(catalog, model),
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


def _service(model: Model, *owners: object) -> ModelService:
    operations: dict[str, Handler] = {}
    for owner in owners:
        operations |= operations_of(owner)
    return ModelService(model, operations)
