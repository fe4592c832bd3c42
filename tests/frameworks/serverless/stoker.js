"use strict";
// Serverless Framework 3 sends requests by an SDK that does not know AWS_ENDPOINT_URL: this plugin tells it.
module.exports = class {
  constructor(serverless) {
    serverless.getProvider("aws").sdk.config.update({ endpoint: process.env.AWS_ENDPOINT_URL, s3ForcePathStyle: true });
  }
};
