// A client of the operation InvokeEndpointWithBidirectionalStream, put together from AWS's and Smithy's published packages.
//
// npm has no package of the service itself. What such a package adds to the generic ones is a description of the operation,
// and that is written here by hand after the service's documentation; everything that acts (HTTP/2, event streams, signing,
// retries, errors) is theirs, composed in the order in which their own clients compose it.
import { getHostHeaderPlugin, getRecursionDetectionPlugin, getUserAgentPlugin } from "@aws-sdk/core/client";
import { createDefaultUserAgentProvider, resolveHostHeaderConfig, resolveUserAgentConfig } from "@aws-sdk/core/client";
import { AwsSdkSigV4Signer, resolveAwsSdkSigV4Config } from "@aws-sdk/core/httpAuthSchemes";
import { AwsRestJsonProtocol } from "@aws-sdk/core/protocols";
import { eventStreamPayloadHandlerProvider } from "@aws-sdk/eventstream-handler-node";
import { getEventStreamPlugin, resolveEventStreamConfig } from "@aws-sdk/middleware-eventstream";
import { DefaultIdentityProviderConfig, getHttpAuthSchemeEndpointRuleSetPlugin, getHttpSigningPlugin } from "@smithy/core";
import { Sha256 } from "@smithy/core/checksum";
import { Client, makeBuilder, NoOpLogger, ServiceException } from "@smithy/core/client";
import { resolveRegionConfig } from "@smithy/core/config";
import { getEndpointPlugin, resolveEndpointConfig } from "@smithy/core/endpoints";
import { eventStreamSerdeProvider, resolveEventStreamSerdeConfig } from "@smithy/core/event-streams";
import { getContentLengthPlugin, parseUrl } from "@smithy/core/protocols";
import { getRetryPlugin, resolveRetryConfig } from "@smithy/core/retry";
import { getSchemaSerdePlugin, TypeRegistry } from "@smithy/core/schema";
import { calculateBodyLength, fromBase64, fromUtf8, toBase64, toUtf8 } from "@smithy/core/serde";
import { NodeHttp2Handler, streamCollector } from "@smithy/node-http-handler";

const SERVICE = "com.amazonaws.sagemakerruntimehttp2";
const SIGNING_NAME = "sagemaker";
const SIGV4 = "aws.auth#sigv4";
const API_VERSION = "2025-10-01";
const SERVICE_TARGET = "AmazonSageMakerRuntimeHttp2";

// ---- the operation's shapes, in Smithy's static form: [kind, namespace, name, traits, member names, member schemas]

const TEXT = 0;
const INTEGER = 1;
const BLOB = 21;
const STRUCTURE = 3;
const UNION = 4;
const OPERATION = 9;
const ERROR = -3;

const shape = (kind, name, traits, members, required = 0) => [
    kind,
    SERVICE,
    name,
    traits,
    Object.keys(members),
    Object.values(members),
    required,
];
const asHeader = (name) => [TEXT, { httpHeader: name }];
const asEventHeader = [TEXT, { eventHeader: 1 }];
const asLabel = [TEXT, { httpLabel: 1 }];
const asEventPayload = [BLOB, { eventPayload: 1 }];
const asEvents = (union) => [() => union, { httpPayload: 1 }];

/** The base of every exception of the service. */
export class SageMakerRuntimeException extends ServiceException {
    constructor(options) {
        super(options);
        Object.setPrototypeOf(this, new.target.prototype);
    }
}

const generalErrors = new TypeRegistry(`smithy.ts.sdk.synthetic.${SERVICE}`);
generalErrors.registerError(
    [ERROR, `smithy.ts.sdk.synthetic.${SERVICE}`, "SageMakerRuntimeServiceException", 0, [], []],
    SageMakerRuntimeException,
);
const errors = new TypeRegistry(SERVICE);

const failure = (name, fault, status, members) => {
    const Failure = class extends SageMakerRuntimeException {
        constructor(options) {
            super({ name, $fault: fault, ...options });
        }
    };
    Object.defineProperty(Failure, "name", { value: name });
    const schema = shape(ERROR, name, status ? { error: fault, httpError: status } : { error: fault }, members);
    errors.registerError(schema, Failure);
    return { schema, Failure };
};

const coded = { Message: TEXT, ErrorCode: TEXT };
export const { Failure: InputValidationError } = failure("InputValidationError", "client", 400, coded);
export const { Failure: ModelError } = failure("ModelError", "client", 424, {
    Message: TEXT,
    OriginalStatusCode: INTEGER,
    OriginalMessage: TEXT,
    LogStreamArn: TEXT,
    ErrorCode: TEXT,
});
export const { Failure: InternalServerError } = failure("InternalServerError", "server", 500, coded);
export const { Failure: ServiceUnavailableError } = failure("ServiceUnavailableError", "server", 503, coded);
const modelStreamError = failure("ModelStreamError", "client", 0, coded);
const internalStreamFailure = failure("InternalStreamFailure", "server", 0, { Message: TEXT });
export const ModelStreamError = modelStreamError.Failure;
export const InternalStreamFailure = internalStreamFailure.Failure;

const part = (name) =>
    shape(STRUCTURE, name, 0, {
        Bytes: asEventPayload,
        DataType: asEventHeader,
        CompletionState: asEventHeader,
        P: asEventHeader,
    });
const requestPart = part("RequestPayloadPart");
const responsePart = part("ResponsePayloadPart");
const requestEvents = shape(UNION, "RequestStreamEvent", { streaming: 1 }, { PayloadPart: [() => requestPart, 0] });
const responseEvents = shape(
    UNION,
    "ResponseStreamEvent",
    { streaming: 1 },
    {
        PayloadPart: [() => responsePart, 0],
        ModelStreamError: [() => modelStreamError.schema, 0],
        InternalStreamFailure: [() => internalStreamFailure.schema, 0],
    },
);
const operationInput = shape(
    STRUCTURE,
    "InvokeEndpointWithBidirectionalStreamInput",
    0,
    {
        EndpointName: asLabel,
        Body: asEvents(requestEvents),
        TargetVariant: asHeader("X-Amzn-SageMaker-Target-Variant"),
        ModelInvocationPath: asHeader("X-Amzn-SageMaker-Model-Invocation-Path"),
        ModelQueryString: asHeader("X-Amzn-SageMaker-Model-Query-String"),
    },
    2,
);
const operationOutput = shape(
    STRUCTURE,
    "InvokeEndpointWithBidirectionalStreamOutput",
    0,
    { Body: asEvents(responseEvents), InvokedProductionVariant: asHeader("X-Amzn-Invoked-Production-Variant") },
    1,
);
const operation = [
    OPERATION,
    SERVICE,
    "InvokeEndpointWithBidirectionalStream",
    { http: ["POST", "/endpoints/{EndpointName}/invocations-bidirectional-stream", 200] },
    () => operationInput,
    () => operationOutput,
];

const command = makeBuilder(
    { Endpoint: { type: "builtInParams", name: "endpoint" }, Region: { type: "builtInParams", name: "region" } },
    SERVICE_TARGET,
    "SageMakerRuntimeClient",
    getEndpointPlugin,
);

/** The operation: its input's `Body` is an async iterable of `{ PayloadPart }`, so is its output's. */
export class InvokeEndpointWithBidirectionalStreamCommand extends command(
    {},
    (_Command, _stack, config) => [getEventStreamPlugin(config)],
    "InvokeEndpointWithBidirectionalStream",
    operation,
) {}

// ---- the client

const defaults = {
    apiVersion: API_VERSION,
    base64Decoder: fromBase64,
    base64Encoder: toBase64,
    bodyLengthChecker: calculateBodyLength,
    defaultUserAgentProvider: createDefaultUserAgentProvider({ serviceId: "SageMaker Runtime HTTP2" }),
    endpointProvider: ({ Endpoint, Region }) => ({
        url: new URL(Endpoint ?? `https://runtime.sagemaker.${Region}.amazonaws.com:8443`),
        properties: {},
        headers: {},
    }),
    eventStreamPayloadHandlerProvider,
    eventStreamSerdeProvider,
    httpAuthSchemeProvider: ({ region }) => [
        {
            schemeId: SIGV4,
            signingProperties: { name: SIGNING_NAME, region },
            propertiesExtractor: (config, context) => ({ signingProperties: { config, context } }),
        },
    ],
    httpAuthSchemes: [
        {
            schemeId: SIGV4,
            identityProvider: (providers) => providers.getIdentityProvider(SIGV4),
            signer: new AwsSdkSigV4Signer(),
        },
    ],
    defaultSigningName: SIGNING_NAME,
    extensions: [],
    logger: new NoOpLogger(),
    maxAttempts: 3,
    protocol: AwsRestJsonProtocol,
    protocolSettings: {
        defaultNamespace: SERVICE,
        errorTypeRegistries: [generalErrors, errors],
        version: API_VERSION,
        serviceTarget: SERVICE_TARGET,
    },
    retryMode: "standard",
    runtime: "node",
    serviceId: "SageMaker Runtime HTTP2",
    sha256: Sha256,
    streamCollector,
    urlParser: parseUrl,
    utf8Decoder: fromUtf8,
    utf8Encoder: toUtf8,
};

/** A client: takes `endpoint`, `region`, `credentials`, `requestHandler` as the SDK's clients do. */
export class SageMakerRuntimeClient extends Client {
    constructor(options) {
        const settings = {
            ...defaults,
            ...options,
            requestHandler: NodeHttp2Handler.create(options.requestHandler ?? { disableConcurrentStreams: true }),
        };
        super(settings);
        this.initConfig = settings;
        const resolvers = [
            resolveUserAgentConfig,
            resolveRetryConfig,
            resolveRegionConfig,
            resolveHostHeaderConfig,
            resolveEndpointConfig,
            resolveEventStreamSerdeConfig,
            resolveAwsSdkSigV4Config,
            resolveEventStreamConfig,
        ];
        this.config = resolvers.reduce((config, resolve) => resolve(config), settings);
        const plugins = [
            getSchemaSerdePlugin(this.config),
            getUserAgentPlugin(this.config),
            getRetryPlugin(this.config),
            getContentLengthPlugin(this.config),
            getHostHeaderPlugin(this.config),
            getRecursionDetectionPlugin(this.config),
            getHttpAuthSchemeEndpointRuleSetPlugin(this.config, {
                httpAuthSchemeParametersProvider: async (config, context) => ({
                    operation: context.__smithy_context?.operation,
                    region: await config.region(),
                }),
                identityProviderConfigProvider: async (config) =>
                    new DefaultIdentityProviderConfig({ [SIGV4]: config.credentials }),
            }),
            getHttpSigningPlugin(this.config),
        ];
        for (const plugin of plugins) {
            this.middlewareStack.use(plugin);
        }
    }
}
