"""AWS CloudFormation: stacks of resources, made of templates."""
