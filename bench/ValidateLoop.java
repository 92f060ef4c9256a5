// Runs the DCC's own validator in a warm loop. One line in: how many times. One line out: nanoseconds taken.
// Arguments: the file to validate. The validator's own output is thrown away.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import uk.co.smartdcc.boxed.xmldsig.ResultCode;
import uk.co.smartdcc.boxed.xmldsig.Validate;

public final class ValidateLoop {
    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        PrintStream nowhere = new PrintStream(OutputStream.nullOutputStream());
        System.setOut(nowhere);
        System.setErr(nowhere);
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        for (String order = orders.readLine(); order != null; order = orders.readLine()) {
            int count = Integer.parseInt(order);
            long start = System.nanoTime();
            for (int i = 0; i < count; i++) {
                if (Validate.main_aux(arguments) != ResultCode.SUCCESS) {
                    throw new IllegalStateException("the validator refuses the message");
                }
            }
            answers.println(System.nanoTime() - start);
            answers.flush();
        }
    }
}
