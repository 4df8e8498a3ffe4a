import Testing

@testable import LoopServer

@Suite("Dockerfiles") struct DockerfileTests {
    private static let text = """
        # syntax=docker/dockerfile:1
        ARG BASE=debian:12
        FROM --platform=$BUILDPLATFORM ${BASE} AS build
        RUN apt-get update \\
            # a comment within
            && apt-get install -y make

        RUN <<EOF
        FROM is no instruction here
        EOF
        COPY . .
        from localhost:5000/runtime:${TAG:-1}
        COPY --from=build /out /out
        FROM Build
        RUN make test
        """

    @Test("instructions are known by their first line, through continuations, comments and here-documents")
    func instructions() {
        let dockerfile = Dockerfile(parsing: DockerfileTests.text)
        #expect(dockerfile.instructions.map(\.line) == [2, 3, 4, 8, 11, 12, 13, 14, 15])
        #expect(dockerfile.instructions.map(\.stage) == [-1, 0, 0, 0, 0, 1, 1, 2, 2])
        #expect(dockerfile.instructions[2].text == "RUN apt-get update && apt-get install -y make")
    }

    @Test("base images are those that are no stages, with arguments in their names")
    func bases() {
        let dockerfile = Dockerfile(parsing: DockerfileTests.text)
        #expect(dockerfile.bases().map(\.name) == ["debian:12", "localhost:5000/runtime:1"])
        #expect(
            dockerfile.bases(["BASE": "alpine", "TAG": "2"]).map(\.name) == ["alpine", "localhost:5000/runtime:2"])
        #expect(dockerfile.bases().map(\.line) == [3, 12])
    }

    @Test("a backtick may continue a line")
    func escape() {
        let dockerfile = Dockerfile(parsing: "# escape=`\nFROM scratch\nRUN one `\n  two\\\nRUN three")
        #expect(dockerfile.instructions.map(\.text) == ["FROM scratch", "RUN one two\\", "RUN three"])
    }

    @Test("whatever stands in a file, it is read without trouble")
    func garbage() {
        for text in ["", "\\", "\n\n\\\n", "RUN <<", "FROM", "# escape=", "ARG =", "COPY <<EOF /x\nnever ended"] {
            _ = Dockerfile(parsing: text).bases()
        }
    }
}
