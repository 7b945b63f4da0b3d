// Short ways to write configurations: resource names are those of the apigatewayv2 model.
export const REGION = 'us-east-1';
export const ACCOUNT = '000000000000';

export const ADMIN_KEY = {
  accessKeyId: 'AKIDEXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
};

export const ALLOW_ALL = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: 'execute-api:*', Resource: '*' }] };

export function lambdaUri(name) {
  return `arn:aws:apigateway:${REGION}:lambda:path/2015-03-31/functions/arn:aws:lambda:${REGION}:${ACCOUNT}:function:${name}/invocations`;
}

// An AWS_PROXY integration whose id is the function's name.
export function lambda(name, extra = {}) {
  return { integrationId: name, integrationType: 'AWS_PROXY', integrationMethod: 'POST', integrationUri: lambdaUri(name), ...extra };
}

export function httpProxy(integrationId, integrationUri, extra = {}) {
  return { integrationId, integrationType: 'HTTP_PROXY', integrationMethod: 'POST', integrationUri, ...extra };
}

export function mock(integrationId, { status = 200, template, extra = {} } = {}) {
  return {
    integrationId,
    integrationType: 'MOCK',
    templateSelectionExpression: '\\$default',
    requestTemplates: { $default: JSON.stringify({ statusCode: status }) },
    integrationResponses: [{ integrationResponseKey: '$default', ...(template === undefined ? {} : { templateSelectionExpression: '\\$default', responseTemplates: { $default: template } }) }],
    ...extra,
  };
}

export function route(routeKey, integrationId, extra = {}) {
  return { routeKey, ...(integrationId ? { target: `integrations/${integrationId}` } : {}), ...extra };
}

export const TWO_WAY = { routeResponseSelectionExpression: '$default', routeResponses: [{ routeResponseKey: '$default' }] };

export function twoWay(routeKey, integrationId, extra = {}) {
  return route(routeKey, integrationId, { ...TWO_WAY, ...extra });
}

export function wsApi({ apiId = 'chat', integrations = [], routes = [], stages = [{ stageName: 'prod' }], ...rest }) {
  return {
    apiId,
    name: apiId,
    protocolType: 'WEBSOCKET',
    routeSelectionExpression: '$request.body.action',
    integrations,
    routes,
    stages,
    ...rest,
  };
}

// An HTTP API whose only stage is $default.
export function httpApi({ apiId = 'web', integrations = [], routes = [], stages = [{ stageName: '$default' }], ...rest } = {}) {
  return { apiId, name: apiId, protocolType: 'HTTP', integrations, routes, stages, ...rest };
}

// An HTTP_PROXY integration that calls with the client's method.
export function forward(integrationId, integrationUri, extra = {}) {
  return { integrationId, integrationType: 'HTTP_PROXY', integrationUri, ...extra };
}

// The usual API: every phase and a two-way "echo" handled by the function "app".
export function appApi({ integrations = [], routes = [], without = [], ...rest } = {}) {
  const usual = [route('$connect', 'app'), route('$disconnect', 'app'), route('$default', 'app'), twoWay('echo', 'app')];
  const keys = new Set([...without, ...routes.map((r) => r.routeKey)]);
  return wsApi({
    integrations: [lambda('app'), ...integrations],
    routes: [...usual.filter((r) => !keys.has(r.routeKey)), ...routes],
    ...rest,
  });
}

// For tests that load the gateway: the native rates would throttle them.
export const UNTHROTTLED = { rateLimit: 1000000, burstLimit: 1000000, connectionRateLimit: 1000000, connectionBurstLimit: 1000000 };
