try:
    FINAL("first")
except BaseException as error:
    print(type(error).__name__)
FINAL("second")
