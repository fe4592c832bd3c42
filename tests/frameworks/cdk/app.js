const { App, Stack, CfnOutput, Duration } = require("aws-cdk-lib");
const lambda = require("aws-cdk-lib/aws-lambda");
const sqs = require("aws-cdk-lib/aws-sqs");
const apigw = require("aws-cdk-lib/aws-apigatewayv2");
const { LambdaRestApi } = require("aws-cdk-lib/aws-apigateway");
const { HttpLambdaIntegration, WebSocketLambdaIntegration } = require("aws-cdk-lib/aws-apigatewayv2-integrations");
const { SqsEventSource } = require("aws-cdk-lib/aws-lambda-event-sources");

const app = new App();
const stack = new Stack(app, process.env.STACK);
const queue = new sqs.Queue(stack, "Orders", { visibilityTimeout: Duration.seconds(60) });
const shop = new lambda.Function(stack, "Shop", {
  runtime: new lambda.Runtime(process.env.RUNTIME, lambda.RuntimeFamily.PYTHON),
  handler: "app.handler",
  code: lambda.Code.fromAsset(__dirname + "/src"),
  environment: { QUEUE: queue.queueUrl },
});
queue.grantSendMessages(shop);
shop.addEventSource(new SqsEventSource(queue, { batchSize: 5 }));
const api = new apigw.HttpApi(stack, "Api");
api.addRoutes({ path: "/orders", methods: [apigw.HttpMethod.POST], integration: new HttpLambdaIntegration("I", shop) });
const rest = new LambdaRestApi(stack, "Rest", { handler: shop });
const chat = new apigw.WebSocketApi(stack, "Chat", {
  defaultRouteOptions: { integration: new WebSocketLambdaIntegration("W", shop) },
});
new apigw.WebSocketStage(stack, "ChatStage", { webSocketApi: chat, stageName: "dev", autoDeploy: true });
new CfnOutput(stack, "RestId", { value: rest.restApiId });
new CfnOutput(stack, "ChatId", { value: chat.apiId });
new CfnOutput(stack, "ApiId", { value: api.apiId });
new CfnOutput(stack, "FunctionName", { value: shop.functionName });
new CfnOutput(stack, "QueueUrl", { value: queue.queueUrl });
