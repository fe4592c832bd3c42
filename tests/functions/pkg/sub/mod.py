class Nested:
    @staticmethod
    def handler(event, context):
        return ["nested", event]


def handler(event, context):
    return ["pkg.sub.mod", event]


not_callable = 5
