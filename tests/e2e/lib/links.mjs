// Configurations and figures of private integrations (vpcLinks).
import { UNTHROTTLED } from './config.mjs';

// One HTTP API whose every request goes to one link.
export function linkConfig(link, { integration = {}, stages = [{ stageName: '$default' }], ...rest } = {}) {
  return {
    workers: 1,
    throttling: UNTHROTTLED,
    vpcLinks: [{ vpcLinkId: 'app', ...link }],
    apis: [
      {
        apiId: 'web',
        name: 'web',
        protocolType: 'HTTP',
        integrations: [{ integrationId: 'p', integrationType: 'HTTP_PROXY', integrationMethod: 'ANY', connectionType: 'VPC_LINK', connectionId: 'app', integrationUri: 'http://app.internal/{proxy}', ...integration }],
        routes: [{ routeKey: 'ANY /{proxy+}', target: 'integrations/p' }],
        stages,
      },
    ],
    ...rest,
  };
}

// What /metrics says of the targets: url -> {healthy, outstanding, calls, failures, moved, ejections, ok, failed}.
export async function targetFigures(gateway, link = 'app') {
  const figures = {};
  for (const { name, labels, value } of await gateway.metrics()) {
    const found = /^tidegate_target_(.*?)(_total)?$/.exec(name);
    if (found && labels.link === link) (figures[labels.target] ??= {})[labels.result ?? found[1]] = value;
  }
  return figures;
}
